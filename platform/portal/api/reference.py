"""The page of the API: all operations of its OpenAPI document, as plain HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import path, reverse

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.api.router import api
from portal.pages.breadcrumbs import Crumb

_METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A part of the path, of the query or of the JSON body."""

    name: str
    kind: str  # its JSON types, such as "string or null"
    place: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method of a URL."""

    method: str
    path: str
    summary: str
    description: str
    parameters: list[Parameter]

    @property
    def anchor(self) -> str:
        return f"{self.method.lower()}{self.path}".replace("/", "-").translate(
            str.maketrans("", "", "{}")
        )


def operations() -> list[Operation]:
    """Return all operations, in the order of the OpenAPI document."""
    document: Mapping[str, Any] = api.get_openapi_schema()
    schemas = document.get("components", {}).get("schemas", {})
    return [
        Operation(
            method=method.upper(),
            path=url,
            summary=operation.get("summary", ""),
            description=operation.get("description", ""),
            parameters=[*_parameters(operation), *_body(operation, schemas)],
        )
        for url, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in _METHODS
    ]


@signed_in
def reference(request: SignedInRequest) -> HttpResponse:
    """Show all operations of the API."""
    context = {
        "operations": operations(),
        "example": (
            f'curl -H "Authorization: Bearer $SLIPWAY_TOKEN" {settings.PORTAL_URL}/api/v1/apps'
        ),
        "crumbs": (Crumb(name="Docs", url=reverse("docs")), Crumb(name="API")),
    }
    return render(request, "docs/api.html", context)


def _parameters(operation: Mapping[str, Any]) -> Iterator[Parameter]:
    for parameter in operation.get("parameters", ()):
        yield Parameter(
            name=parameter["name"],
            kind=_kind(parameter.get("schema", {})),
            place=parameter["in"],
            required=parameter.get("required", False),
        )


def _body(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[Parameter]:
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content.get("schema", {})
        schema = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
        for name, value in schema.get("properties", {}).items():
            yield Parameter(
                name=name,
                kind=_kind(value),
                place="body" if media == "application/json" else "form",
                required=name in schema.get("required", ()),
            )


def _kind(schema: Mapping[str, Any]) -> str:
    choices = schema.get("anyOf") or schema.get("oneOf") or [schema]
    kinds = [
        choice.get("type") or choice.get("$ref", "object").rpartition("/")[2] for choice in choices
    ]
    return " or ".join(dict.fromkeys(kinds))


urlpatterns = [path("docs/api", reference, name="docs-api")]
