"""The breadcrumbs of pages."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse

from portal.accounts.models import Team
from portal.apps.models import App


@dataclass(frozen=True, slots=True, kw_only=True)
class Crumb:
    """A breadcrumb: a link, or the current page if `url` is empty."""

    name: str
    url: str = ""


def of_page(*names: str) -> tuple[Crumb, ...]:
    """Return the breadcrumbs of a page without an app or team."""
    return tuple(Crumb(name=name) for name in names)


def of_code(code: str) -> tuple[Crumb, ...]:
    """Return the breadcrumbs of an error code's page."""
    return (Crumb(name="Codes", url=reverse("codes")), Crumb(name=code))


def of_team(team: Team) -> tuple[Crumb, ...]:
    """Return the breadcrumbs of the team's page."""
    return (Crumb(name=team.name),)


def of_app(app: App, *names: str) -> tuple[Crumb, ...]:
    """Return the breadcrumbs of the app's page, or of a page below it."""
    team = Crumb(name=app.team.name, url=reverse("team", args=[app.team.name]))
    if not names:
        return (team, Crumb(name=app.name))
    return (team, Crumb(name=app.name, url=reverse("app", args=[app.name])), *of_page(*names))
