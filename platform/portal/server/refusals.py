"""Responses to requests that are refused before a view runs, in the format of the client: JSON, a
page, or a line for git."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.template.loader import render_to_string

from portal.errors import Refused
from portal.http.error_responses import json_of, with_headers_of
from portal.plaintext import printable_lines
from portal.registry.responses import of as registry_answer


def response_to(scope: Mapping[str, Any], refused: Refused) -> HttpResponse:
    """Return the response with the error, its reason and its fix. The rest of the request's body is
    not read."""
    response = _response(str(scope["path"]), dict(scope["headers"]).get(b"accept", b""), refused)
    response["Connection"] = "close"
    response["Cache-Control"] = "no-store"
    response["Content-Security-Policy"] = settings.CONTENT_SECURITY_POLICY
    response["X-Content-Type-Options"] = "nosniff"
    response["X-Frame-Options"] = settings.X_FRAME_OPTIONS
    return with_headers_of(response, refused)


def _response(path: str, accept: bytes, refused: Refused) -> HttpResponse:
    if path.startswith("/v2/"):
        return registry_answer(refused)
    if path.startswith("/git/"):
        return HttpResponse(
            f"{printable_lines(refused.explain())}\n",
            status=refused.status,
            content_type="text/plain; charset=utf-8",
        )
    if path.startswith(("/api/", "/metrics")) or b"text/html" not in accept:
        return json_of(refused)
    context = {
        "error": refused,
        "status": refused.status,
        "title": HTTPStatus(refused.status).phrase,
    }
    return HttpResponse(render_to_string("errors/early.html", context), status=refused.status)
