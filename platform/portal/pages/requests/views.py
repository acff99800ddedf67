"""Views of one request and of the error codes. The router's error pages link to them.

The pages of codes need no sign-in, because visitors of an app also open them.
"""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.errors import NotFound
from portal.logs.lines import LogPiece
from portal.pages import breadcrumbs
from portal.requests.trace import trace_of
from runtime.contract.code_meanings import by_subject, meaning_of


@signed_in
def request_page(request: SignedInRequest, request_id: str) -> HttpResponse:
    """Show what happened around a request. `?app=` names its app."""
    trace = trace_of(request.user, request_id, app_name=request.GET.get("app", ""))
    context = {
        "trace": trace,
        "app": trace.app,
        "piece": LogPiece(
            lines=[line for line, _ in trace.lines],
            marked=frozenset(n for n, (_, this) in enumerate(trace.lines) if this),
        ),
        "noted": LogPiece(lines=trace.noted),
        "crumbs": breadcrumbs.of_app(trace.app, "Request"),
        "tab": "logs",
    }
    return render(request, "requests/request.html", context)


@signed_in
def find_request(request: SignedInRequest) -> HttpResponse:
    """Redirect from the search box to the page of the request."""
    wanted = request.GET.get("id", "").strip()
    if not wanted or "/" in wanted:
        raise NotFound(
            "This is not a valid request id.",
            hint=(
                "An id looks like 7f9c1c1e-0b1e-4c56-9c0e-3f8f4f6f2f6a and is at the end of an"
                " error page."
            ),
        )
    app = request.GET.get("app", "")
    return redirect(
        reverse("request", args=[wanted]) + (f"?{urlencode({'app': app})}" if app else "")
    )


def codes_page(request: HttpRequest) -> HttpResponse:
    """Show all codes, one per line."""
    return render(
        request,
        "requests/codes.html",
        {"subjects": by_subject(), "crumbs": breadcrumbs.of_page("Codes")},
    )


def code_page(request: HttpRequest, code: str) -> HttpResponse:
    """Show the meaning of a code, where to look, and the fix."""
    what = meaning_of(code.upper())
    if what is None:
        raise NotFound(
            f"Code {code} does not exist.",
            hint="A code is a letter and two digits, such as H12. All codes are listed at /codes.",
        )
    return render(
        request, "requests/code.html", {"what": what, "crumbs": breadcrumbs.of_code(what.code)}
    )
