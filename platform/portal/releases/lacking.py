"""Why a release does not go out that lacks a config var its app's file requires, and what to do."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.conf import settings

from portal.releases.models import Release


def explain(release: Release, missing: Sequence[str]) -> str:
    """A sentence for each, then the command that sets them all."""
    declared = release.declared
    told = []
    for name in missing:
        description = declared.variables[name].description
        told.append(f"{name} ({description})" if description else name)
    noun, it, has = ("the config var", "it", "it has") if len(missing) == 1 else ("the config vars", "them", "they have")
    body = json.dumps({"changes": dict.fromkeys(missing, "VALUE")})
    address = f"{settings.PORTAL_URL}/api/v1/apps/{release.app.name}/config"
    return (
        f"v{release.number} needs {noun} {', '.join(told)}: {declared.file} requires {it}, and {has} no value. "
        f"Set {it} on the settings page and this release goes out, without another build; or with:\n"
        f"curl -X PATCH -H \"Authorization: Bearer $SLIPWAY_TOKEN\" -H 'Content-Type: application/json' -d '{body}' {address}"
    )
