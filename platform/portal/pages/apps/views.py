"""Views of a new app, and of an app's overview, logs and restart. `home` has the app list,
`settings_views` the settings."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import teams_of
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps import logs as app_logs
from portal.apps.access import app_for, instances_of, url_of
from portal.apps.models import App
from portal.apps.names import check_app_name
from portal.errors import NameRefused, NotFound, Refused
from portal.http.error_responses import json_of, wants_json
from portal.http.file_responses import log_response
from portal.lifecycle import app_actions
from portal.logs.lines import LogPiece
from portal.pages import breadcrumbs, form_errors
from portal.pages.apps.commands import commands_for, max_upload
from portal.pages.apps.forms import AppForm
from portal.pages.apps.last_failure import dismissed_of, last_failure_of
from portal.pages.apps.overview import overview_of
from portal.pages.builds.forms import submit_upload
from portal.releases.history import previous_good

SHOWN_LINES = 500
LOOKED_THROUGH = 20_000  # lines that are searched for those of one source


@signed_in
@require_http_methods(["GET", "POST"])
def new_app(request: SignedInRequest) -> HttpResponse:
    """Create an app."""
    teams = list(teams_of(request.user))
    form = AppForm(teams, request.POST or None, initial={"team": request.GET.get("team", "")})
    if form.is_valid():
        try:
            app = app_actions.create_app(
                request.user, team=form.cleaned_data["team"], name=form.cleaned_data["name"]
            )
        except Refused as refused:
            if wants_json(request):
                return json_of(refused)
            form_errors.mark(form, refused)
        else:
            return _deploy_first(request, app) if request.FILES else redirect("app", app.name)
    context = {
        "form": form,
        "teams": teams,
        "host_of_names": url_of(App(name="NAME")),
        "crumbs": breadcrumbs.of_page("New app"),
    }
    return render(request, "apps/new.html", context, status=422 if form.errors else 200)


@signed_in
def name_hint(request: SignedInRequest) -> HttpResponse:
    """Show if a name is available. Requested by htmx while the name is typed."""
    name = request.GET.get("name", "")
    try:
        name = check_app_name(name)
        if App.objects.filter(name=name).exists():
            raise NameRefused(f"The name {name} is already in use.", hint="Choose another name.")
    except Refused as refused:
        return render(
            request, "apps/fragments/name_hint.html", {"refused": refused if name else None}
        )
    return render(request, "apps/fragments/name_hint.html", {"url": url_of(App(name=name))})


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


def _deploy_first(request: SignedInRequest, app: App) -> HttpResponse:
    """Deploy the archive that was sent with the new app's name. If it is refused, the app exists
    and its page shows why."""
    try:
        location = reverse("build", args=[app.name, submit_upload(request, app).pk])
    except Refused as refused:
        form_errors.notice(request, refused)
        location = reverse("app", args=[app.name])
    return (
        JsonResponse({"location": location}, status=201)
        if wants_json(request)
        else redirect(location)
    )
