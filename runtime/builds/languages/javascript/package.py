"""Read package.json of a source. Pure."""

from __future__ import annotations

from typing import Any

from runtime.builds.languages.detect import Source
from runtime.builds.manifest.documents import parse_json
from runtime.errors import BadSource


def package(source: Source) -> dict[str, Any]:
    """Return the content of package.json, or {} if there is none."""
    return parsed(source, "package.json") if "package.json" in source.files else {}


def parsed(source: Source, file: str) -> dict[str, Any]:
    """Return the content of a package.json. BadSource: it is not an object with scripts."""
    try:
        document = parse_json(source.texts.get(file, ""))
    except ValueError as error:
        raise BadSource(
            f"{file} is not valid JSON: {error}.", hint="Correct it and deploy again."
        ) from None
    if not isinstance(document, dict) or not isinstance(document.get("scripts", {}), dict):
        raise BadSource(
            f"{file} is not an object, or its scripts are not an object.",
            hint="npm init -y writes a valid one.",
        )
    return document
