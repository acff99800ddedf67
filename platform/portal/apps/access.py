"""Read apps, their instances, config vars and formation. Other modules get them only from here."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from django.conf import settings
from django.db.models import QuerySet

from portal import events
from portal.accounts.access import teams_of
from portal.accounts.models import Person
from portal.apps.config import config_of
from portal.apps.models import App, Instance, InstanceState, ProcessFormation
from portal.apps.usage import Usage
from portal.errors import AppRenamed, NotFound

__all__ = [
    "Usage",
    "app_for",
    "apps_of",
    "config_of",
    "formation_of",
    "host_of",
    "instances_of",
    "listed_apps_of",
    "url_of",
    "usage_of",
]


def apps_of(person: Person) -> QuerySet[App]:
    """Return the apps of the person's teams, by name, without deleted ones."""
    return (
        App.objects.filter(deleted_at=None, team__in=teams_of(person))
        .select_related("team", "current_release")
        .order_by("name")
    )


def listed_apps_of(person: Person) -> QuerySet[App]:
    """Return the same apps with only the columns that a list shows."""
    shown = (
        "name",
        "node_name",
        "description",
        "created_at",
        "team__name",
        "current_release__number",
        "current_release__processes",
    )
    return apps_of(person).only(*shown)


def app_for(person: Person, name: str) -> App:
    """Return an app by name: an app of the person's teams, or any app for an admin.

    Raise NotFound otherwise. The error is the same for a missing app and for an app of other teams.
    """
    apps = (
        App.objects.filter(deleted_at=None).select_related("team", "current_release")
        if person.is_staff
        else apps_of(person)
    )
    app = apps.filter(name=name).first()
    if app is None and (renamed := apps.filter(former_names__name=name).first()) is not None:
        raise AppRenamed(
            f"App {name} is named {renamed.name} now.",
            hint=f"Use the name {renamed.name}.",
            name=renamed.name,
        )
    if app is None:
        raise NotFound(
            f"App {name} does not exist, or you do not have access to it.",
            hint="Check the list of your apps, or create the app.",
        )
    return app


def instances_of(app: App) -> QuerySet[Instance]:
    """Return the instances in a fixed order, as their nodes last reported them, without stopped
    ones."""
    return (
        Instance.objects.filter(app=app)
        .exclude(state=InstanceState.STOPPED)
        .order_by("process", "release_number", "started_at", "id")
    )


def formation_of(app: App) -> QuerySet[ProcessFormation]:
    """Return the app's process types, web first."""
    return (
        ProcessFormation.objects.filter(app=app)
        .extra(select={"not_web": "process <> 'web'"})
        .order_by("not_web", "process")
    )


def usage_of(instances: Iterable[Instance]) -> dict[str, Usage]:
    """Return the latest sample of each instance that has one. Empty while Redis is not
    available."""
    names = [instance.id for instance in instances]
    found = events.samples([f"slipway:usage:{name}" for name in names])
    return {
        name: msgspec.json.decode(text, type=Usage)
        for name, text in zip(names, found, strict=True)
        if text is not None
    }


def host_of(app: App) -> str:
    """Return the app's default hostname."""
    return f"{app.name}.{settings.BASE_DOMAIN}"


def url_of(app: App) -> str:
    """Return the URL of the app."""
    return f"{settings.SCHEME}://{host_of(app)}{settings.PORT_IN_URLS}"
