"""Views of an app's overview and restart. `home` has the app list, `log_page` the log."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for
from portal.apps.models import App
from portal.errors import Refused
from portal.lifecycle import app_actions
from portal.pages import breadcrumbs, form_errors
from portal.pages.apps.commands import commands_for, max_upload
from portal.pages.apps.last_failure import dismissed_of, last_failure_of
from portal.pages.apps.next_step import next_steps_of
from portal.pages.apps.overview import overview_of
from portal.releases.history import previous_good


@signed_in
def overview(request: SignedInRequest, name: str) -> HttpResponse:
    """Show the status, URL, instances, last changes and ways to deploy."""
    app = app_for(request.user, name)
    return render(request, "apps/overview.html", overview_context(request, app))


def overview_context(request: SignedInRequest, app: App) -> dict[str, object]:
    """Return the context of the overview's template. A refused upload shows the page again."""
    overview = overview_of(app)
    return {
        "app": app,
        "overview": overview,
        "failure": last_failure_of(overview.status, dismissed_of(request.session, app.name)),
        "previous": previous_good(app),
        "next_steps": next_steps_of(app),
        "commands": commands_for(request.user, app.team.name, app.name, branch=app.deploy_branch),
        "max_upload": max_upload(),
        "crumbs": breadcrumbs.of_app(app),
        "tab": "overview",
    }


@signed_in
@require_POST
def restart(request: SignedInRequest, name: str) -> HttpResponse:
    """Replace all instances, one after the other."""
    app = app_for(request.user, name)
    try:
        app_actions.restart(request.user, app=app)
    except Refused as refused:
        form_errors.notice(request, refused)
    else:
        messages.success(
            request,
            f"{name} is restarting.\nInstances are replaced one after the other, without downtime.",
        )
    return redirect("app", name)
