"""Who asks the registry, and for which app: HTTP Basic, any user name, a token as the password."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from portal.accounts.access import person_of_token, require_member
from portal.accounts.models import Person
from portal.apps.access import app_for
from portal.apps.models import App
from portal.errors import NotFound, NotSignedIn
from portal.limits.visitor import password_of


def person_of(request: HttpRequest) -> Person:
    """NotSignedIn without a valid token. API clients may also send it as a bearer."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    token = {"basic": password_of(credentials), "bearer": credentials}.get(scheme.lower(), "")
    person = person_of_token(token) if token else None
    if person is None:
        raise NotSignedIn("The registry needs a token of yours as the password.", hint=f"Make one at {settings.PORTAL_URL}/account.")
    return person


def repository_of(request: HttpRequest, team: str, name: str) -> tuple[Person, App]:
    """Who asks, and the app TEAM/NAME of a team they are in. NotFound looks the same for none and for not theirs."""
    person = person_of(request)
    app = app_for(person, name)
    if app.team.name != team:
        raise NotFound(f"There is no app {name} in a team {team} of yours.", hint="A repository is called TEAM/APP.")
    require_member(person, app.team)
    return person, app
