"""API operations for traffic settings: rollouts, limits, routes, access and pages."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Status

from portal.api.authentication import person_of
from portal.api.shapes import saved_out
from portal.api.traffic_schemas import CredentialIn, SavedOut, ScalingOut, TrafficIn, TrafficOut
from portal.apps.access import app_for
from portal.traffic import actions
from portal.traffic.access import scalings_of, traffic_of
from portal.traffic.models import Scaling, TrafficSettings
from portal.traffic.sleep_history import saved_by

router = Router(tags=["traffic"])


@router.get("/apps/{name}/traffic", response=TrafficOut, summary="The traffic settings")
def show_traffic(request: HttpRequest, name: str) -> TrafficSettings:
    return traffic_of(app_for(person_of(request), name))


@router.patch("/apps/{name}/traffic", response=TrafficOut, summary="Change traffic settings")
def change_traffic(request: HttpRequest, name: str, body: TrafficIn) -> TrafficSettings:
    person = person_of(request)
    return actions.change(person, app=app_for(person, name), changes=body.dict(exclude_unset=True))


@router.get(
    "/apps/{name}/scalings",
    response=list[ScalingOut],
    summary="The last decisions of autoscaling, with reasons",
)
def list_scalings(request: HttpRequest, name: str) -> list[Scaling]:
    return scalings_of(app_for(person_of(request), name), most=50)


@router.get(
    "/apps/{name}/sleep",
    response=SavedOut,
    summary="The resources that sleep has saved in the last week",
)
def show_sleep(request: HttpRequest, name: str) -> SavedOut:
    return saved_out(saved_by(app_for(person_of(request), name), timezone.now()))


@router.put(
    "/apps/{name}/traffic/auth/{user}",
    response={204: None},
    summary="Add a user for basic authentication",
)
def admit(request: HttpRequest, name: str, user: str, body: CredentialIn) -> Status[None]:
    person = person_of(request)
    actions.admit(person, app=app_for(person, name), name=user, password=body.password)
    return Status(204, None)


@router.delete(
    "/apps/{name}/traffic/auth/{user}",
    response={204: None},
    summary="Remove a user of basic authentication",
)
def turn_away(request: HttpRequest, name: str, user: str) -> Status[None]:
    person = person_of(request)
    actions.turn_away(person, app=app_for(person, name), name=user)
    return Status(204, None)
