"""What wraps every request: the content security policy, and the one way a refusal becomes an answer."""

from __future__ import annotations

from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.deprecation import MiddlewareMixin

from portal.errors import NotSignedIn, Refused


class SecurityPolicy(MiddlewareMixin):
    """Every answer tells browsers to load our own files only (w3.org/TR/CSP3)."""

    def process_response(self, _: HttpRequest, response: HttpResponse) -> HttpResponse:
        response.headers.setdefault("Content-Security-Policy", settings.CONTENT_SECURITY_POLICY)
        response.headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
        return response


class Refusals(MiddlewareMixin):
    """A Refused that no view caught becomes a page, or JSON for whoever asks for JSON."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, Refused):
            return None
        return json_of(error) if wants_json(request) else _page(request, error)


def json_of(error: Refused) -> JsonResponse:
    """`{"error": …, "hint": …}` with the error's own status."""
    response = JsonResponse({"error": error.sentence, "hint": error.hint}, status=error.status)
    if isinstance(error, NotSignedIn):
        response["WWW-Authenticate"] = 'Bearer realm="Slipway"'
    return response


def wants_json(request: HttpRequest) -> bool:
    """Whether the answer is for a program: it prefers JSON to HTML, or asks below /api/."""
    return request.path.startswith("/api/") or request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def _page(request: HttpRequest, error: Refused) -> HttpResponse:
    status = HTTPStatus(error.status)
    context = {"error": error, "status": status.value, "title": status.phrase}
    return HttpResponse(render_to_string("errors/refused.html", context, request), status=error.status)
