"""API operations for apps. (Django would import a module named apps.py too early.)"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from ninja import Body, Router, Status

from portal.accounts.access import team_for, teams_of
from portal.accounts.models import Person
from portal.api.app_schemas import ConfigIn, ConfigOut, DescriptionIn, RenameIn, TransferIn
from portal.api.authentication import person_of
from portal.api.pages import Page
from portal.api.schemas import (
    AppIn,
    AppOut,
    InstanceOut,
    SizeIn,
    SizeOut,
    TeamOut,
)
from portal.api.shapes import app_out, apps_out, config_out, instance_out
from portal.apps.access import (
    app_for,
    formation_of,
    instances_of,
    listed_apps_of,
    usage_of,
)
from portal.apps.models import ProcessFormation
from portal.apps.sizes import Size
from portal.dataversion import DatabaseCache
from portal.errors import ValueRefused
from portal.lifecycle import app_actions, app_identity

router = Router(tags=["apps"])
_MOST_LISTED = 1000  # the most apps on a page, if a limit is given
_pages: DatabaseCache[Page] = DatabaseCache(most=256)


@router.get("/teams", response=list[TeamOut], summary="Your teams")
def list_teams(request: HttpRequest) -> list[TeamOut]:
    return [TeamOut(name=team.name) for team in teams_of(person_of(request))]


@router.get(
    "/apps",
    response=list[AppOut],
    summary="The apps of your teams. Use limit and after=NAME for pages",
)
def list_apps(request: HttpRequest, limit: int | None = None, after: str = "") -> HttpResponse:
    person = person_of(request)
    page = _pages.get((person.pk, limit, after), lambda: _page_of_apps(person, limit, after))
    return page.response_to(request)


@router.post("/apps", response={201: AppOut}, summary="Create an app")
def create_app(request: HttpRequest, body: AppIn) -> Status[AppOut]:
    person = person_of(request)
    if body.team is not None:
        team = team_for(person, body.team)
    else:
        teams = list(teams_of(person))
        if len(teams) != 1:
            names = ", ".join(team.name for team in teams)
            raise ValueRefused(
                "Choose a team for the app.",
                field="team",
                hint=f"Your teams are {names}." if teams else "Create a team in the portal first.",
            )
        team = teams[0]
    return Status(201, app_out(app_actions.create_app(person, team=team, name=body.name)))


@router.get("/apps/{name}", response=AppOut, summary="One app")
def show_app(request: HttpRequest, name: str) -> AppOut:
    return app_out(app_for(person_of(request), name))


@router.delete(
    "/apps/{name}",
    response={202: None},
    summary="Delete an app permanently; `confirm` must be its name",
)
def delete_app(request: HttpRequest, name: str, confirm: str) -> Status[None]:
    person = person_of(request)
    app_actions.delete_app(person, app=app_for(person, name), typed_name=confirm)
    return Status(202, None)


@router.put("/apps/{name}/description", response=AppOut, summary="Describe an app")
def describe_app(request: HttpRequest, name: str, body: DescriptionIn) -> AppOut:
    person = person_of(request)
    return app_out(
        app_identity.describe_app(person, app=app_for(person, name), text=body.description)
    )


@router.post(
    "/apps/{name}/rename",
    response=AppOut,
    summary="Rename an app. Its old hostname answers 404 from then on",
)
def rename_app(request: HttpRequest, name: str, body: RenameIn) -> AppOut:
    person = person_of(request)
    return app_out(app_identity.rename_app(person, app=app_for(person, name), name=body.name))


@router.post(
    "/apps/{name}/transfer",
    response=AppOut,
    summary="Transfer an app to another team; `confirm` must be its name",
)
def transfer_app(request: HttpRequest, name: str, body: TransferIn) -> AppOut:
    person = person_of(request)
    return app_out(
        app_identity.transfer_app(
            person,
            app=app_for(person, name),
            team=team_for(person, body.team),
            typed_name=body.confirm,
        )
    )


@router.get("/apps/{name}/config", response=ConfigOut, summary="Config vars of the next release")
def show_config(request: HttpRequest, name: str) -> ConfigOut:
    return config_out(app_for(person_of(request), name))


@router.patch("/apps/{name}/config", response=ConfigOut, summary="Set and unset config vars")
def change_config(request: HttpRequest, name: str, body: ConfigIn) -> ConfigOut:
    person = person_of(request)
    app = app_for(person, name)
    release = app_actions.set_config_vars(
        person,
        app=app,
        changes=body.changes,
        while_building=body.while_building,
        secret=body.secret,
    )
    return config_out(app, release)


@router.get(
    "/apps/{name}/formation",
    response=list[SizeOut],
    summary="The number and size of instances of each process type",
)
def show_formation(request: HttpRequest, name: str) -> list[ProcessFormation]:
    return list(formation_of(app_for(person_of(request), name)))


@router.patch("/apps/{name}/formation", response=list[SizeOut], summary="Scale")
def change_formation(
    request: HttpRequest, name: str, body: Body[dict[str, SizeIn]]
) -> list[ProcessFormation]:
    person = person_of(request)
    app = app_for(person, name)
    now = {row.process: Size.of(row) for row in formation_of(app)}
    wanted = {
        process: replace(now.get(process, Size()), **change.dict(exclude_none=True))
        for process, change in body.items()
    }
    app_actions.scale(person, app=app, sizes=wanted)
    return list(formation_of(app))


@router.post(
    "/apps/{name}/restart",
    response={202: None},
    summary="Replace all instances, one after the other",
)
def restart(request: HttpRequest, name: str) -> Status[None]:
    person = person_of(request)
    app_actions.restart(person, app=app_for(person, name))
    return Status(202, None)


@router.get(
    "/apps/{name}/instances",
    response=list[InstanceOut],
    summary="Running instances and their resource usage",
)
def list_instances(request: HttpRequest, name: str) -> list[InstanceOut]:
    instances = list(instances_of(app_for(person_of(request), name)))
    usage = usage_of(instances)
    return [instance_out(instance, usage.get(instance.id)) for instance in instances]


def _page_of_apps(person: Person, limit: int | None, after: str) -> Page:
    """Return all apps, or at most `limit` apps with names after `after`, and the link to the next
    page."""
    apps = listed_apps_of(person).filter(name__gt=after) if after else listed_apps_of(person)
    if limit is None:
        return Page.of(apps_out(list(apps)))
    limit = max(1, min(limit, _MOST_LISTED))
    found = list(apps[: limit + 1])
    following = (
        f"/api/v1/apps?{urlencode({'limit': limit, 'after': found[limit - 1].name})}"
        if len(found) > limit
        else ""
    )
    return Page.of(apps_out(found[:limit]), following=following)
