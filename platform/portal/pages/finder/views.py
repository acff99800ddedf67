"""Views of the finder. Scripts ask for a list alone while a person types."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.pages import breadcrumbs
from portal.pages.finder.results import find
from portal.pages.recent_apps import recent_apps_of
from portal.pages.sidebar import switchable_apps

LONGEST = 200  # characters of a text


@signed_in
@never_cache
def find_page(request: SignedInRequest) -> HttpResponse:
    """Show the results for `?q=`."""
    text = _text(request)
    context = {"text": text, "results": find(request.user, text)}
    if request.headers.get("HX-Request"):
        return render(request, "finder/results.html", context)
    return render(request, "finder/find.html", {**context, "crumbs": breadcrumbs.of_page("Find")})


@signed_in
@never_cache
def find_apps(request: SignedInRequest) -> HttpResponse:
    """Show the apps whose name contains `?q=`, for the app switcher."""
    apps, more = switchable_apps(request.user, recent_apps_of(request), _text(request))
    return render(request, "finder/apps.html", {"apps": apps, "more": more, "text": _text(request)})


def _text(request: SignedInRequest) -> str:
    return request.GET.get("q", "").replace("\0", "")[:LONGEST]
