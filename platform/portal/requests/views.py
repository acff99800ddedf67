"""The page of one request, which every error page of the router leads the app's owner to, and the pages of the codes.

Those of the codes are for whoever met one: visitors of an app come to them too, so nobody need be signed in.
"""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from portal import crumbs
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.activity.loglines import LogPiece
from portal.errors import NotFound
from portal.requests.codes import by_subject, meaning_of
from portal.requests.trace import trace_of


@signed_in
def request_page(request: SignedInRequest, request_id: str) -> HttpResponse:
    """What happened around it; `?app=` says whose it is."""
    trace = trace_of(request.user, request_id, app_name=request.GET.get("app", ""))
    context = {
        "trace": trace,
        "app": trace.app,
        "piece": LogPiece(lines=[line for line, _ in trace.lines], marked=frozenset(n for n, (_, this) in enumerate(trace.lines) if this)),
        "noted": LogPiece(lines=trace.noted),
        "crumbs": crumbs.of_app(trace.app, "Request"),
        "tab": "logs",
    }
    return render(request, "requests/request.html", context)


@signed_in
def find_request(request: SignedInRequest) -> HttpResponse:
    """From the search box: to the request's page."""
    wanted = request.GET.get("id", "").strip()
    if not wanted or "/" in wanted:
        raise NotFound(
            "That is no request's id.", hint="It looks like 7f9c1c1e-0b1e-4c56-9c0e-3f8f4f6f2f6a and stands at the end of an error page."
        )
    app = request.GET.get("app", "")
    return redirect(reverse("request", args=[wanted]) + (f"?{urlencode({'app': app})}" if app else ""))


def codes_page(request: HttpRequest) -> HttpResponse:
    """All codes, a line each."""
    return render(request, "requests/codes.html", {"subjects": by_subject(), "crumbs": crumbs.of_page("Codes")})


def code_page(request: HttpRequest, code: str) -> HttpResponse:
    """What one code means, what to look at, the fix."""
    what = meaning_of(code.upper())
    if what is None:
        raise NotFound(f"There is no code {code}.", hint="A code is a letter and two digits, such as H12. All of them are at /codes.")
    return render(request, "requests/code.html", {"what": what, "crumbs": crumbs.of_code(what.code)})
