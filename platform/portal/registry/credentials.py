"""Authenticate registry requests: HTTP Basic with any user name and a token as the password."""

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
    """Return the person of the token. Raise NotSignedIn without a valid token. API clients may also
    send it as a bearer token."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    token = {"basic": password_of(credentials), "bearer": credentials}.get(scheme.lower(), "")
    person = person_of_token(token) if token else None
    if person is None:
        raise NotSignedIn(
            "The registry needs one of your tokens as the password.",
            hint=f"Create a token at {settings.PORTAL_URL}/account.",
        )
    return person


def repository_of(request: HttpRequest, team: str, name: str) -> tuple[Person, App]:
    """Return the person and the app TEAM/NAME. Raise NotFound if it does not exist or the person is
    not in the team."""
    person = person_of(request)
    app = app_for(person, name)
    if app.team.name != team:
        raise NotFound(
            f"App {name} does not exist in team {team}, or you do not have access to it.",
            hint="The name of a repository is TEAM/APP.",
        )
    require_member(person, app.team)
    return person, app
