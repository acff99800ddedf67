"""Error responses of the OCI distribution specification ("Error Codes"): JSON with a code and a
message that Docker shows."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec

from django.core.exceptions import RequestAborted
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from portal.errors import (
    Conflict,
    NotAllowed,
    NotFound,
    NotSignedIn,
    QuotaExceeded,
    Refused,
    RegistryRefused,
    TooBusy,
    TooLarge,
    TooManyRequests,
)
from portal.http.request_bodies import is_streamed

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], Awaitable[HttpResponseBase]]
Answer = Callable[Concatenate[HttpRequest, P], Coroutine[Any, Any, HttpResponseBase]]

_CODES: dict[type[Refused], str] = {
    NotSignedIn: "UNAUTHORIZED",
    NotFound: "NAME_UNKNOWN",
    NotAllowed: "DENIED",
    QuotaExceeded: "DENIED",
    Conflict: "TOOMANYREQUESTS",
    TooBusy: "TOOMANYREQUESTS",
    TooManyRequests: "TOOMANYREQUESTS",
    TooLarge: "SIZE_INVALID",
}


def is_unchanged(request: HttpRequest, digest: str) -> bool:
    """Return whether the client has this content already (If-None-Match, RFC 9110, 13.1.2)."""
    known = request.headers.get("If-None-Match", "")
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    return "*" in tags or f'"{digest}"' in tags


def for_registry_clients(**methods: View[P]) -> Answer[P]:
    """Combine one view per method for a URL. Errors become responses that registry clients
    understand."""

    @csrf_exempt
    async def answer(
        request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        view = methods.get(request.method or "")
        try:
            if view is None:
                raise RegistryRefused(
                    "UNSUPPORTED", f"The method {request.method} is not supported here.", status=405
                )
            response = await view(request, *args, **kwargs)
        except Refused as refused:
            response = of(refused)
            if is_streamed({"method": request.method, "path": request.path}):
                # the rest of the body is not read, because it may be endless
                response["Connection"] = "close"
        except RequestAborted:
            response = HttpResponse(status=400)  # the client has disconnected
        response["Docker-Distribution-Api-Version"] = "registry/2.0"
        return response

    return functools.wraps(next(iter(methods.values())))(answer)


def of(refused: Refused) -> JsonResponse:
    """Return `{"errors": [{"code": …, "message": …, "detail": …}]}` with the error's status."""
    code = (
        refused.code
        if isinstance(refused, RegistryRefused)
        else _CODES.get(type(refused), "DENIED")
    )
    response = JsonResponse(
        {"errors": [{"code": code, "message": refused.explain(), "detail": {}}]},
        status=refused.status,
    )
    if isinstance(refused, NotSignedIn):
        response["WWW-Authenticate"] = 'Basic realm="Slipway"'
    if isinstance(refused, RegistryRefused):
        for name, value in refused.headers.items():
            response[name] = value
    return response
