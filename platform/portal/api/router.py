"""The HTTP API: thin over access and actions. Its contract is /api/openapi.json, its first client the command line."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, ValidationError
from ninja.parser import Parser

from portal.api import applications, deploys, domains, health, images, jobs, network, traffic
from portal.api.asking import TokenAuth
from portal.documents import parse_json
from portal.errors import NotSignedIn, Refused
from portal.middleware import json_of


class BoundedParser(Parser):
    """Reads the JSON of a request's body."""

    def parse_body(self, request: HttpRequest) -> Any:
        return parse_json(request.body)


api = NinjaAPI(
    parser=BoundedParser(),
    title="Slipway",
    version="1",
    description="Every answer that is not what was asked for is `{error, hint}`.",
    auth=TokenAuth(),
    urls_namespace="api",
    docs_url=None,  # its page loads scripts from elsewhere, which our content security policy does not let it
    openapi_url="/openapi.json",
)
api.add_router("/v1", applications.router)
api.add_router("/v1", deploys.router)
api.add_router("/v1", health.router)
api.add_router("/v1", traffic.router)
api.add_router("/v1", network.router)
api.add_router("/v1", domains.router)
api.add_router("/v1", jobs.router)
api.add_router("/v1", images.router)


@api.exception_handler(Refused)
def on_refused(_: HttpRequest, error: Refused) -> HttpResponse:
    return json_of(error)


@api.exception_handler(AuthenticationError)
def on_unknown(_: HttpRequest, __: AuthenticationError) -> HttpResponse:
    return json_of(NotSignedIn("The API needs a token.", hint="Make one in the portal, and send it as Authorization: Bearer TOKEN."))


@api.exception_handler(ValidationError)
def on_malformed(_: HttpRequest, error: ValidationError) -> HttpResponse:
    """Says where in the request each mistake is."""
    mistakes = "; ".join(f"{'.'.join(str(part) for part in problem['loc'][1:])}: {problem['msg']}" for problem in error.errors)
    return JsonResponse(
        {"error": f"The request is not what this operation takes: {mistakes}.", "hint": "See /api/openapi.json."}, status=422
    )
