"""Views of a new app: three ways to deploy, a token made in place, and the gallery of examples."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import teams_of
from portal.accounts.models import Person, Team
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import url_of
from portal.apps.models import App
from portal.apps.names import check_app_name
from portal.errors import NameRefused, Refused
from portal.http.error_responses import json_of, wants_json
from portal.lifecycle import account_actions, app_actions
from portal.pages import breadcrumbs, form_errors
from portal.pages.accounts import used_forms
from portal.pages.apps.commands import max_upload, new_app_commands
from portal.pages.apps.examples import deploy_example, examples
from portal.pages.apps.forms import AppForm
from portal.pages.builds.forms import submit_upload

USUAL_NAME = "my-app"


@signed_in
@never_cache
@require_http_methods(["GET", "POST"])
def new_app(request: SignedInRequest) -> HttpResponse:
    """Show the ways to deploy a new app, or create one. `?name=` and `?team=` fill in the
    commands."""
    teams = list(teams_of(request.user))
    initial = {name: request.GET.get(name, "") for name in ("name", "team")}
    if "commands" in request.POST:
        wanted = {name: request.POST.get(name, "") for name in initial}
        return redirect(f"{reverse('new-app')}?{urlencode(wanted)}")
    form = AppForm(teams, request.POST or None, initial=initial)
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
    context = new_app_context(
        request.user,
        teams,
        form,
        name=str(form["name"].value() or ""),
        team=str(form["team"].value() or ""),
    )
    return render(request, "apps/new.html", context, status=422 if form.errors else 200)


@signed_in
@never_cache
@require_POST
def new_token(request: SignedInRequest) -> HttpResponse:
    """Create a token and show the commands with it. Its text is only in this response."""
    teams = list(teams_of(request.user))
    name, team = request.POST.get("name", ""), request.POST.get("team", "")
    if used_forms.was_sent(request):
        messages.warning(request, "This form was already sent.\nIts token is on your account page.")
        return redirect("new-app")
    _, secret = account_actions.create_token(
        request.user, label=f"Deploy {name or USUAL_NAME}"[:60]
    )
    used_forms.mark_sent(request)
    form = AppForm(teams, initial={"name": name, "team": team})
    context = new_app_context(request.user, teams, form, name=name, team=team, token=secret)
    return render(request, "apps/new.html", context)


@signed_in
@require_POST
def new_example(request: SignedInRequest) -> HttpResponse:
    """Create an app from an example, and open its build."""
    teams = list(teams_of(request.user))
    wanted = request.POST.get("team", "")
    team = next((team for team in teams if team.name == wanted), teams[0] if teams else None)
    if team is None:
        messages.error(request, "An app belongs to a team.\nCreate a team first.")
        return redirect("new-team")
    try:
        build = deploy_example(request.user, team=team, name=request.POST.get("example", ""))
    except Refused as refused:
        form_errors.notice(request, refused)
        return redirect("new-app")
    return redirect("build", build.app.name, build.pk)


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


def new_app_context(
    person: Person,
    teams: list[Team],
    form: AppForm,
    *,
    name: str = "",
    team: str = "",
    token: str = "",
) -> dict[str, object]:
    """Return the context of the page of a new app. `token` is the text of a token made now."""
    chosen = team if team in {each.name for each in teams} else ""
    owner = chosen or (teams[0].name if teams else "my-team")
    return {
        "form": form,
        "teams": teams,
        "team_name": owner,
        "app_name": name or USUAL_NAME,
        "token": token,
        "form_number": used_forms.new_number(),
        "commands": new_app_commands(person, owner, name or USUAL_NAME, token=token),
        "examples": examples(),
        "host_of_names": url_of(App(name="NAME")),
        "max_upload": max_upload(),
        "crumbs": breadcrumbs.of_page("New app"),
    }


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
