"""Where a page is, as the links above it."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse

from portal.accounts.models import Team
from portal.apps.models import App


@dataclass(frozen=True, slots=True, kw_only=True)
class Crumb:
    """A link, or the page itself where `url` is empty."""

    name: str
    url: str = ""


def of_page(*names: str) -> tuple[Crumb, ...]:
    """A page that belongs to no app or team."""
    return tuple(Crumb(name=name) for name in names)


def of_code(code: str) -> tuple[Crumb, ...]:
    """The page of a code, below that of all."""
    return (Crumb(name="Codes", url=reverse("codes")), Crumb(name=code))


def of_team(team: Team) -> tuple[Crumb, ...]:
    """The team's own page."""
    return (Crumb(name=team.name),)


def of_app(app: App, *names: str) -> tuple[Crumb, ...]:
    """The app's page, or one below it."""
    team = Crumb(name=app.team.name, url=reverse("team", args=[app.team.name]))
    if not names:
        return (team, Crumb(name=app.name))
    return (team, Crumb(name=app.name, url=reverse("app", args=[app.name])), *of_page(*names))
