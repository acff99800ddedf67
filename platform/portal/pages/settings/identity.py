"""Views that describe, rename and transfer an app."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from portal.accounts.access import teams_of
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for, host_of
from portal.errors import Refused
from portal.lifecycle import app_identity
from portal.pages import form_errors
from portal.pages.apps.forms import DescriptionForm, RenameForm, TransferForm
from portal.pages.settings.sections import other_teams, redirect_to, render_section


@signed_in
@require_POST
def describe(request: SignedInRequest, name: str) -> HttpResponse:
    """Set the description of an app."""
    app, form = app_for(request.user, name), DescriptionForm(request.POST)
    if form.is_valid():
        try:
            app_identity.describe_app(request.user, app=app, text=form.cleaned_data["description"])
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(request, "The description was saved.")
            return redirect_to(name, "general")
    return render_section(request, app, "general", changed={"description_form": form}, status=422)


@signed_in
@require_POST
def rename(request: SignedInRequest, name: str) -> HttpResponse:
    """Give an app another name."""
    app, form = app_for(request.user, name), RenameForm(request.POST)
    if form.is_valid():
        before = host_of(app)
        try:
            renamed = app_identity.rename_app(request.user, app=app, name=form.cleaned_data["name"])
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(
                request,
                f"{name} is named {renamed.name} now.\nIts address is {host_of(renamed)}. {before}"
                " answers 404.",
            )
            return redirect_to(renamed.name, "general")
    return render_section(request, app, "general", changed={"rename_form": form}, status=422)


@signed_in
@require_POST
def transfer(request: SignedInRequest, name: str) -> HttpResponse:
    """Move an app to another team, if its name was typed correctly."""
    app = app_for(request.user, name)
    form = TransferForm(other_teams(request.user, app), request.POST)
    if form.is_valid():
        team = form.cleaned_data["team"]
        try:
            app_identity.transfer_app(
                request.user, app=app, team=team, typed_name=form.cleaned_data["typed_name"]
            )
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(
                request,
                f"{name} belongs to team {team.name} now.\nIts instances are being replaced, one"
                " after the other.",
            )
            if request.user.is_staff or teams_of(request.user).filter(pk=team.pk).exists():
                return redirect_to(name, "general")
            return redirect("home")
    return render_section(request, app, "general", changed={"transfer_form": form}, status=422)
