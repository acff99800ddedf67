"""API operations for health checks: the effective check, and the check of the app's settings."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router, Status

from portal.api.authentication import person_of
from portal.api.schemas import HealthIn, HealthOut
from portal.api.shapes import health_out
from portal.apps.access import app_for
from portal.lifecycle import app_actions

router = Router(tags=["health"])


@router.get(
    "/apps/{name}/health", response=HealthOut, summary="The effective health check and its source"
)
def show_health(request: HttpRequest, name: str) -> HealthOut:
    return health_out(app_for(person_of(request), name))


@router.patch(
    "/apps/{name}/health",
    response=HealthOut,
    summary="Set the health check of the app's settings, or parts of it",
)
def change_health(request: HttpRequest, name: str, body: HealthIn) -> HealthOut:
    person = person_of(request)
    app = app_for(person, name)
    app_actions.set_health(person, app=app, changes=body.dict(exclude_unset=True))
    return health_out(app)


@router.delete(
    "/apps/{name}/health",
    response={204: None},
    summary="Remove the health check of the settings; the Dockerfile's or the default applies",
)
def unset_health(request: HttpRequest, name: str) -> Status[None]:
    person = person_of(request)
    app_actions.unset_health(person, app=app_for(person, name))
    return Status(204, None)
