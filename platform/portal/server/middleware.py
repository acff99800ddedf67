"""Middleware of all requests: the content security policy, and the conversion of errors to
responses."""

from __future__ import annotations

import errno
import sys
from http import HTTPStatus

from django.conf import settings
from django.db import OperationalError
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponsePermanentRedirect,
    HttpResponseRedirect,
    JsonResponse,
)
from django.template.loader import render_to_string
from django.urls import is_valid_path
from django.utils.deprecation import MiddlewareMixin
from django.views import defaults

from portal.errors import AppRenamed, DiskFull, Refused
from portal.http.error_responses import json_of, wants_json, with_headers_of

# PostgreSQL's code for a full disk (postgresql.org/docs/current/errcodes-appendix.html)
_DISK_FULL = "53100"
_OF_PROGRAMS = ("/api/", "/git/", "/v2/")  # their URLs have no pages


class SecurityPolicy(MiddlewareMixin):
    """Adds a policy that allows browsers to load only our own files (w3.org/TR/CSP3)."""

    def process_response(self, _: HttpRequest, response: HttpResponse) -> HttpResponse:
        response.headers.setdefault("Content-Security-Policy", settings.CONTENT_SECURITY_POLICY)
        response.headers.setdefault(
            "Permissions-Policy", "camera=(), microphone=(), geolocation=()"
        )
        return response


class Refusals(MiddlewareMixin):
    """Converts a Refused that no view has caught, and a full disk, to a page or to JSON."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        refused = error if isinstance(error, Refused) else refused_by_full_disk(error)
        if refused is None:
            return None
        if isinstance(refused, AppRenamed) and request.method == "GET" and not wants_json(request):
            return _renamed(request, refused)
        return json_of(refused) if wants_json(request) else _page(request, refused)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Answer a GET of a form's URL with a way to the page above it, instead of an empty 405.

        After a refused form, the browser shows the page at that URL, and may load it again.
        """
        is_form = response.status_code == HTTPStatus.METHOD_NOT_ALLOWED and request.method == "GET"
        if not is_form or wants_json(request) or request.path.startswith(_OF_PROGRAMS):
            return response
        page = _page_above(request.path)
        response.content = render_to_string("405.html", {"page": page}, request)
        response.headers["Content-Type"] = "text/html; charset=utf-8"
        response.headers["Refresh"] = f"0; url={page}"
        return response


def server_error(request: HttpRequest) -> HttpResponse:
    """Return the response to an unexpected error: JSON for programs, and a specific message if the
    disk is full."""
    refused = refused_by_full_disk(sys.exc_info()[1])
    if not wants_json(request):
        if refused is None:
            return defaults.server_error(request)
        context = {"error": refused, "status": refused.status, "title": "The disk is full"}
        return HttpResponse(render_to_string("errors/early.html", context), status=refused.status)
    if refused is not None:
        return json_of(refused)
    sentence = "Something went wrong in the portal."
    return JsonResponse(
        {
            "error": sentence,
            "hint": (
                "Try again. If it happens again, send the time of the error to an admin of this"
                " Slipway."
            ),
        },
        status=500,
    )


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Return the response for a URL that does not exist. Without a trailing slash, it may exist."""
    shorter = request.path.rstrip("/")
    is_read = request.method in ("GET", "HEAD")
    if is_read and shorter not in ("", request.path) and is_valid_path(shorter):
        query = request.META.get("QUERY_STRING", "")
        return HttpResponsePermanentRedirect(f"{shorter}?{query}" if query else shorter)
    if request.path.startswith("/api/"):
        return JsonResponse(
            {
                "error": f"{request.path[:200]} is not a URL of the API.",
                "hint": "See /api/openapi.json.",
            },
            status=404,
        )
    return defaults.page_not_found(request, exception)


def refused_by_full_disk(error: BaseException | None) -> DiskFull | None:
    """Return the error for a file or row that could not be written because the disk is full, or
    None for other errors."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if _is_full_disk(error):
            return DiskFull(
                "The disk of this Slipway is full. Nothing was changed.",
                hint=(
                    "Running apps are not affected. Try again when an admin has freed space on the"
                    " disk of the state folder."
                ),
            )
        error = error.__cause__ or error.__context__
    return None


def _page_above(path: str) -> str:
    """Return the nearest existing URL above a path, or the home page."""
    while path := path.rpartition("/")[0]:
        if is_valid_path(path):
            return path
    return "/"


def _is_full_disk(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, OperationalError):
        return (
            "database or disk is full" in str(error)
            or getattr(error.__cause__, "sqlstate", "") == _DISK_FULL
        )
    return False


def _renamed(request: HttpRequest, error: AppRenamed) -> HttpResponse:
    """Redirect from a page of an app's former name, such as /apps/OLD/logs."""
    match = request.resolver_match
    old = str(match.kwargs.get("name", "")) if match is not None else ""
    path = request.get_full_path()
    if not old or not path.startswith(f"/apps/{old}"):
        return _page(request, error)
    return HttpResponseRedirect(f"/apps/{error.name}{path.removeprefix(f'/apps/{old}')}")


def _page(request: HttpRequest, error: Refused) -> HttpResponse:
    status = HTTPStatus(error.status)
    context = {"error": error, "status": status.value, "title": status.phrase}
    return with_headers_of(
        HttpResponse(
            render_to_string("errors/refused.html", context, request), status=error.status
        ),
        error,
    )
