"""The sidebar of every page of a signed-in person: apps to switch to, and the person's teams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Case, When
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from portal.accounts.access import teams_of
from portal.accounts.models import Person
from portal.apps.access import apps_of
from portal.pages.recent_apps import recent_apps_of

MOST_APPS = 8
MOST_TEAMS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidebar:
    """Names of apps, the last opened first, and names of teams. `more` is True if the person has
    apps that are not in the list."""

    apps: Sequence[str]
    more: bool
    teams: Sequence[str]


def sidebar(request: HttpRequest) -> dict[str, object]:
    """Return the sidebar for templates. Nothing is read until a template uses it."""
    return {"sidebar": SimpleLazyObject(lambda: _sidebar_of(request))}


def switchable_apps(
    person: Person, recent: Sequence[str], text: str = ""
) -> tuple[list[str], bool]:
    """Return at most MOST_APPS names that contain the text, the recent ones first, and whether
    there are more."""
    apps = apps_of(person)
    if text := text.strip().lower():
        apps = apps.filter(name__contains=text)
    if recent:
        opened = (When(name=name, then=number) for number, name in enumerate(recent))
        apps = apps.order_by(Case(*opened, default=len(recent)), "name")
    found = list(apps.values_list("name", flat=True)[: MOST_APPS + 1])
    return found[:MOST_APPS], len(found) > MOST_APPS


def _sidebar_of(request: HttpRequest) -> Sidebar | None:
    if not isinstance(request.user, Person):
        return None
    apps, more = switchable_apps(request.user, recent_apps_of(request))
    teams = teams_of(request.user).order_by("name").values_list("name", flat=True)[:MOST_TEAMS]
    return Sidebar(apps=apps, more=more, teams=list(teams))
