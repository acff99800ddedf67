"""Views of an app's overview, logs and restart. `home` has the app list, `new_views` a new app."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps import logs as app_logs
from portal.apps.access import app_for, instances_of
from portal.apps.models import App
from portal.errors import NotFound, Refused
from portal.http.file_responses import log_response
from portal.lifecycle import app_actions
from portal.logs.lines import LogPiece
from portal.pages import breadcrumbs, form_errors
from portal.pages.apps.commands import commands_for, max_upload
from portal.pages.apps.last_failure import dismissed_of, last_failure_of
from portal.pages.apps.next_step import next_steps_of
from portal.pages.apps.overview import overview_of
from portal.releases.history import previous_good

SHOWN_LINES = 500
LOOKED_THROUGH = 20_000  # lines that are searched for those of one source


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
def logs(request: SignedInRequest, name: str) -> HttpResponse:
    """Show the end of the log and new lines. `?source=router` shows only the lines of one
    source."""
    app = app_for(request.user, name)
    source = request.GET.get("source", "")
    lines = app_logs.tail(app_logs.path_of(app), LOOKED_THROUGH if source else SHOWN_LINES)
    shown = [line for line in lines if not source or line.source.partition(".")[0] == source][
        -SHOWN_LINES:
    ]
    context = {
        "app": app,
        "tail": LogPiece(lines=shown),
        "place": lines[-1].id if lines else "",
        "source": source,
        "sources": [
            *sorted({instance.process for instance in instances_of(app)}),
            "router",
            "slipway",
        ],
        "crumbs": breadcrumbs.of_app(app, "Logs"),
        "tab": "logs",
    }
    return render(request, "apps/logs.html", context)


@signed_in
def log_file(request: SignedInRequest, name: str) -> HttpResponseBase:
    """Download the current log file as text."""
    app = app_for(request.user, name)
    path = app_logs.path_of(app)
    if not path.exists():
        raise NotFound(f"{app.name} has no log lines yet.")
    return log_response(path, filename=f"{app.name}.log")


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
