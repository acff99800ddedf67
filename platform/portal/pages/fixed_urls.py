"""Responses at URLs that browsers and crawlers request by themselves."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import path


def favicon(_: HttpRequest) -> HttpResponse:
    """Redirect to the icon of all pages."""
    return redirect(static("favicon.svg"))


def robots(_: HttpRequest) -> HttpResponse:
    """Keep crawlers away: all pages need a sign-in."""
    return HttpResponse("User-agent: *\nDisallow: /\n", content_type="text/plain")


urlpatterns = [
    path("favicon.ico", favicon, name="favicon"),
    path("robots.txt", robots, name="robots"),
]
