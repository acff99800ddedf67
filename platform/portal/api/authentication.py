"""Authenticate API requests by Bearer token."""

from __future__ import annotations

from django.http import HttpRequest
from ninja.security import HttpBearer

from portal.accounts.access import person_of_token
from portal.accounts.models import Person


class TokenAuth(HttpBearer):
    """`Authorization: Bearer slip_…`"""

    def authenticate(self, request: HttpRequest, token: str) -> Person | None:  # noqa: ARG002  # signature given by ninja
        return person_of_token(token)


def person_of(request: HttpRequest) -> Person:
    """Return the person that TokenAuth has set. No operation runs without it."""
    person: Person = request.auth  # type: ignore[attr-defined]  # set by ninja
    return person
