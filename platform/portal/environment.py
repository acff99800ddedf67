"""The settings of the portal in the environment, checked by their types.

An empty variable has its default. `runtime.config` reads the settings of the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from django.core.exceptions import ImproperlyConfigured
from pydantic import BaseModel, ConfigDict, Field, ValidationError

_Port = Annotated[int, Field(ge=0, le=65535)]
_SERVICES = ("database_url", "redis_url")  # their variables have no prefix
_Count = Annotated[int, Field(ge=0)]


class Environment(BaseModel):
    """The variables SLIPWAY_*, and the addresses of the services. .env.example explains them."""

    model_config = ConfigDict(frozen=True, str_strip_whitespace=True)

    name: str = "slipway"
    state: Path = Path("/var/lib/slipway")
    run: Path = Path("/run/slipway")
    user: str = "slipway"
    scheme: Literal["http", "https"] = "http"
    http_port: _Port = 8080
    https_port: _Port = 0
    acme_dns_hook: str = ""
    portal_host: str = "localhost"
    base_domain: str = "slipway.localhost"
    disk_full: Annotated[int, Field(ge=1, le=100)] = 95
    kept_releases: int = 10
    portal_workers: Annotated[int, Field(ge=1)] = 1
    person_per_second: _Count = 60
    token_per_second: _Count = 40
    address_per_second: _Count = 20
    requests_at_once: _Count = 4
    streams_per_person: _Count = 40
    push_memory: Annotated[int, Field(ge=1)] = 256  # MiB
    database_url: str = ""
    redis_url: str = ""


def read(environment: Mapping[str, str]) -> Environment:
    """Return the settings. Raise ImproperlyConfigured, which names each that is not valid."""
    names = {field: f"{_prefix(field)}{field.upper()}" for field in Environment.model_fields}
    values = {
        field: text for field, name in names.items() if (text := environment.get(name, "").strip())
    }
    try:
        return Environment.model_validate(values)
    except ValidationError as error:
        sentences = [
            f"The setting {names[str(fault['loc'][0])]}={fault['input']!r} is not valid:"
            f" {fault['msg'].removeprefix('Input ')}."
            for fault in error.errors()
        ]
        raise ImproperlyConfigured(f"{' '.join(sentences)} Correct it in .env.") from None


def _prefix(field: str) -> str:
    return "" if field in _SERVICES else "SLIPWAY_"
