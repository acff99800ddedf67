"""View of the finder. Scripts ask for the list alone while a person types."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.pages import breadcrumbs
from portal.pages.finder.results import find

LONGEST = 200  # characters of a text


@signed_in
@never_cache
def find_page(request: SignedInRequest) -> HttpResponse:
    """Show the results for `?q=`."""
    text = request.GET.get("q", "").replace("\0", "")[:LONGEST]
    context = {"text": text, "results": find(request.user, text)}
    if request.headers.get("HX-Request"):
        return render(request, "finder/results.html", context)
    return render(request, "finder/find.html", {**context, "crumbs": breadcrumbs.of_page("Find")})
