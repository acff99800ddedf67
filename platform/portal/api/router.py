"""The HTTP API: a thin layer over access and actions. Its contract is /api/openapi.json."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, ValidationError
from ninja.parser import Parser

from portal.api import (
    applications,
    deploys,
    domains,
    git,
    health,
    images,
    jobs,
    logs,
    network,
    traffic,
    volumes,
)
from portal.api.authentication import TokenAuth
from portal.documents import parse_json
from portal.errors import NotSignedIn, Refused
from portal.http.error_responses import json_of


class BoundedParser(Parser):
    """Parses the JSON body of a request."""

    def parse_body(self, request: HttpRequest) -> Any:
        return parse_json(request.body)


api = NinjaAPI(
    parser=BoundedParser(),
    title="Slipway",
    version="1",
    description="Every error response is `{error, hint}`.",
    auth=TokenAuth(),
    urls_namespace="api",
    # the documentation page loads scripts from other hosts, which the content security policy
    # forbids
    docs_url=None,
    openapi_url="/openapi.json",
)
api.add_router("/v1", applications.router)
api.add_router("/v1", deploys.router)
api.add_router("/v1", logs.router)
api.add_router("/v1", git.router)
api.add_router("/v1", health.router)
api.add_router("/v1", traffic.router)
api.add_router("/v1", network.router)
api.add_router("/v1", domains.router)
api.add_router("/v1", jobs.router)
api.add_router("/v1", images.router)
api.add_router("/v1", volumes.router)


@api.exception_handler(Refused)
def on_refused(_: HttpRequest, error: Refused) -> HttpResponse:
    return json_of(error)


@api.exception_handler(AuthenticationError)
def on_unknown(_: HttpRequest, __: AuthenticationError) -> HttpResponse:
    return json_of(
        NotSignedIn(
            "The API needs a token.",
            hint="Create one in the portal, and send it as Authorization: Bearer TOKEN.",
        )
    )


@api.exception_handler(ValidationError)
def on_malformed(_: HttpRequest, error: ValidationError) -> HttpResponse:
    """Report the place of each mistake in the request."""
    mistakes = "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'][1:])}: {problem['msg']}"
        for problem in error.errors
    )
    return JsonResponse(
        {
            "error": f"The request is not valid for this operation: {mistakes}.",
            "hint": "See /api/openapi.json.",
        },
        status=422,
    )
