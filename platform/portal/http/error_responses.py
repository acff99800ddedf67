"""Responses that report an error as JSON."""

from __future__ import annotations

from typing import TypeVar

from django.http import HttpRequest, HttpResponse, JsonResponse

from portal.errors import NotSignedIn, Refused, TooBusy

R = TypeVar("R", bound=HttpResponse)


def json_of(error: Refused) -> JsonResponse:
    """Return `{"error": …, "hint": …}` with the error's status."""
    response = JsonResponse({"error": error.sentence, "hint": error.hint}, status=error.status)
    if isinstance(error, NotSignedIn):
        response["WWW-Authenticate"] = 'Bearer realm="Slipway"'
    return with_headers_of(response, error)


def with_headers_of(response: R, error: Refused) -> R:
    """Add a Retry-After header, if the error has a time."""
    if isinstance(error, TooBusy):
        response["Retry-After"] = str(error.retry_after)
    return response


def wants_json(request: HttpRequest) -> bool:
    """Return True if the client is a program: it prefers JSON to HTML, or requests a URL below
    /api/."""
    return (
        request.path.startswith("/api/")
        or request.get_preferred_type(["text/html", "application/json"]) == "application/json"
    )
