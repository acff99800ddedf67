"""The story of an app's deploys, and rolling back."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from portal import crumbs, refusals
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for
from portal.apps.commands import commands_for
from portal.errors import NotFound, Refused
from portal.releases import actions
from portal.releases.forms import RollbackForm
from portal.releases.story import newest_rollout, previous_good, story_of


@signed_in
def deploys(request: SignedInRequest, name: str) -> HttpResponse:
    """All of them, newest first."""
    app = app_for(request.user, name)
    context = {
        "app": app,
        "deploys": story_of(app),
        "newest": newest_rollout(app),
        "previous": previous_good(app),
        "commands": commands_for(request.user, app.team.name, app.name),
        "crumbs": crumbs.of_app(app, "Deploys"),
        "tab": "deploys",
    }
    return render(request, "releases/deploys.html", context)


@signed_in
@require_POST
def rollback(request: SignedInRequest, name: str) -> HttpResponse:
    """Go back to an earlier release."""
    app, form = app_for(request.user, name), RollbackForm(request.POST)
    if not form.is_valid():
        raise NotFound("There is no such release.", hint="Look at the list of deploys.")
    try:
        rollout = actions.rollback(request.user, app=app, number=form.cleaned_data["number"])
    except Refused as refused:
        refusals.notice(request, refused)
        return redirect("deploys", name)
    messages.success(
        request,
        f"Rolling back: v{rollout.release.number} is v{form.cleaned_data['number']} again.\nWhat runs now serves until it is healthy.",
    )
    return redirect("app", name)


@signed_in
@require_POST
def upgrade_stack(request: SignedInRequest, name: str) -> HttpResponse:
    """Bring one app to the newest version of its stack."""
    app = app_for(request.user, name)
    try:
        actions.ask_for_upgrade(request.user, app=app)
    except Refused as refused:
        refusals.notice(request, refused)
    else:
        messages.success(
            request, "The stack is looked at.\nIf the app can be moved, a release appears here; if not, the page of its team tells why."
        )
    return redirect("deploys", name)


@signed_in
@require_POST
def try_again(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """Roll out once more what failed."""
    app = app_for(request.user, name)
    try:
        actions.try_again(request.user, app=app, number=number)
    except Refused as refused:
        refusals.notice(request, refused)
        return redirect("deploys", name)
    messages.success(request, f"v{number} is rolled out again.\nWhat runs now serves until it is healthy.")
    return redirect("app", name)
