"""Views of an app's traffic: a summary of the way of a request, and the forms of its settings."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for
from portal.errors import NotFound, Refused
from portal.pages import breadcrumbs, form_errors
from portal.pages.settings.sections import SECTION_OF_CARD, redirect_to, render_section
from portal.pages.traffic.forms import CARDS, AuthForm
from portal.pages.traffic.summary import summary_of
from portal.quotas.access import quota_of
from portal.traffic import actions
from portal.traffic.access import scalings_of, traffic_of
from portal.traffic.sleep_history import saved_by


@signed_in
def traffic(request: SignedInRequest, name: str) -> HttpResponse:
    """Show the way of a request through the router, and what autoscaling and sleep did."""
    app = app_for(request.user, name)
    row = traffic_of(app)
    context = {
        "app": app,
        "traffic": row,
        "steps": summary_of(app, row, team_sleep=quota_of(app.team).sleep_minutes),
        "scalings": scalings_of(app),
        "saved": saved_by(app, timezone.now()),
        "crumbs": breadcrumbs.of_app(app, "Traffic"),
        "tab": "traffic",
    }
    return render(request, "traffic/traffic.html", context)


@signed_in
@require_POST
def change(request: SignedInRequest, name: str, card: str) -> HttpResponse:
    """Save one card."""
    app = app_for(request.user, name)
    if card not in CARDS:
        raise NotFound(f"Unknown section: {card}.")
    form = CARDS[card](request.POST)
    if form.is_valid():
        try:
            actions.change(request.user, app=app, changes=form.cleaned_data)
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(request, "Saved.\nThe change applies to every new request.")
            return redirect_to(name, SECTION_OF_CARD[card], card)
    return render_section(request, app, SECTION_OF_CARD[card], refused={card: form})


@signed_in
@require_POST
def auth(request: SignedInRequest, name: str) -> HttpResponse:
    """Add or remove a user of basic authentication."""
    app = app_for(request.user, name)
    if remove := request.POST.get("remove"):
        actions.turn_away(request.user, app=app, name=remove)
        messages.success(request, f"{remove} no longer has access.")
        return redirect_to(name, "access")
    form = AuthForm(request.POST)
    if form.is_valid():
        try:
            actions.admit(
                request.user,
                app=app,
                name=form.cleaned_data["auth_name"],
                password=form.cleaned_data["auth_password"],
            )
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(
                request,
                f"{form.cleaned_data['auth_name']} has access. Only listed users have access.",
            )
            return redirect_to(name, "access")
    return render_section(request, app, "access", refused={"auth": form})
