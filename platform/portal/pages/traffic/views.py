"""Views of an app's traffic page: domains, rollouts, limits, routes, access and pages."""

from __future__ import annotations

from collections.abc import Mapping

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for
from portal.apps.models import App
from portal.errors import NotFound, Refused
from portal.pages import breadcrumbs, form_errors
from portal.pages.domains.card import Card, card_of
from portal.pages.traffic.forms import CARDS, AuthForm, forms_of
from portal.quotas.access import quota_of
from portal.traffic import actions
from portal.traffic.access import scalings_of, traffic_of
from portal.traffic.sleep_history import saved_by


@signed_in
def traffic(request: SignedInRequest, name: str) -> HttpResponse:
    """Show all traffic settings on one page."""
    return page(request, app_for(request.user, name))


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
            return redirect("app-traffic", name)
    return page(request, app, refused={card: form}, status=422)


@signed_in
@require_POST
def auth(request: SignedInRequest, name: str) -> HttpResponse:
    """Add or remove a user of basic authentication."""
    app = app_for(request.user, name)
    if remove := request.POST.get("remove"):
        actions.turn_away(request.user, app=app, name=remove)
        messages.success(request, f"{remove} no longer has access.")
        return redirect("app-traffic", name)
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
            return redirect("app-traffic", name)
    return page(request, app, refused={"auth": form}, status=422)


def page(
    request: SignedInRequest,
    app: App,
    *,
    refused: Mapping[str, forms.Form] | None = None,
    card: Card | None = None,
    status: int = 200,
) -> HttpResponse:
    """Render the whole page. `refused` has forms that replace the current ones, `card` is the
    domain card."""
    row = traffic_of(app)
    context = {
        "app": app,
        "cards": {"auth": AuthForm(), **forms_of(row), **(refused or {})},
        "domains": card or card_of(app),
        "traffic": row,
        "scalings": scalings_of(app),
        "saved": saved_by(app, timezone.now()),
        "team_sleep": quota_of(app.team).sleep_minutes,
        "crumbs": breadcrumbs.of_app(app, "Traffic"),
        "tab": "traffic",
    }
    return render(request, "traffic/traffic.html", context, status=status)
