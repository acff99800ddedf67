"""The error message for a release that is missing required config vars."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.conf import settings

from portal.releases.models import Release


def explain(release: Release, missing: Sequence[str]) -> str:
    """Return the message: the missing config vars, and the command that sets them."""
    declared = release.declared
    descriptions = []
    for name in missing:
        description = declared.variables[name].description
        descriptions.append(f"{name} ({description})" if description else name)
    noun, it, has = (
        ("the config var", "it", "it has")
        if len(missing) == 1
        else ("the config vars", "them", "they have")
    )
    body = json.dumps({"changes": dict.fromkeys(missing, "VALUE")})
    address = f"{settings.PORTAL_URL}/api/v1/apps/{release.app.name}/config"
    return (
        f"v{release.number} needs {noun} {', '.join(descriptions)}: {declared.file} requires {it},"
        f" and {has} no value. Set {it} on the settings page and this release goes out, without"
        ' another build; or with:\ncurl -X PATCH -H "Authorization: Bearer $SLIPWAY_TOKEN" -H'
        f" 'Content-Type: application/json' -d '{body}' {address}"
    )
