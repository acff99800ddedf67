"""The apps that a browser opened last, in a cookie, so that the sidebar can list them first."""

from __future__ import annotations

import re

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

MOST = 5
COOKIE = "recent-apps"
_A_YEAR = 365 * 86400
_NAME = re.compile(r"[a-z0-9-]{1,40}")
_ROUTE = "apps/<slug:name>"


def recent_apps_of(request: HttpRequest) -> list[str]:
    """Return the names in the cookie, the last opened first. They may belong to other people."""
    names = request.COOKIES.get(COOKIE, "").split(".")
    return [name for name in names if _NAME.fullmatch(name)][:MOST]


class RecentApps(MiddlewareMixin):
    """Puts the name of an opened app first in the cookie."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        match = request.resolver_match
        is_page = (
            match is not None
            and match.route.startswith(_ROUTE)
            and request.method == "GET"
            and response.status_code == 200  # the page was found
            and response.headers.get("Content-Type", "").startswith("text/html")
            and "HX-Request" not in request.headers
        )
        if match is None or not is_page:
            return response
        before = recent_apps_of(request)
        opened = str(match.kwargs["name"])
        names = [opened, *(name for name in before if name != opened)][:MOST]
        if names != before:
            response.set_cookie(
                COOKIE,
                ".".join(names),
                max_age=_A_YEAR,
                httponly=True,
                samesite="Lax",
                secure=settings.SECURE,
            )
        return response
