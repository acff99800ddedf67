"""Who asks the API: the person a Bearer token belongs to."""

from __future__ import annotations

from django.http import HttpRequest
from ninja.security import HttpBearer

from portal.accounts.access import person_of_token
from portal.accounts.models import Person


class TokenAuth(HttpBearer):
    """`Authorization: Bearer slip_…`"""

    def authenticate(self, request: HttpRequest, token: str) -> Person | None:  # noqa: ARG002  # ninja's signature
        return person_of_token(token)


def person_of(request: HttpRequest) -> Person:
    """Set by TokenAuth, without which no operation runs."""
    person: Person = request.auth  # type: ignore[attr-defined]  # ninja puts it there
    return person
