"""Parse JSON from tenants with a limit on its size in memory: four megabytes of brackets would need
a hundred. Pure."""

from __future__ import annotations

import json
from typing import Any

# lists, objects and their entries; brackets and commas inside strings count too
MOST_PARTS = 100_000


def parse_json(data: bytes) -> Any:
    """Return the value. Raise ValueError if it is not JSON, has more than 100,000 parts, is nested
    too deeply, or has a name twice in an object: then two readers could see different values."""
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > MOST_PARTS:
        raise ValueError(f"The document has more than {MOST_PARTS:,} parts.")
    try:
        return json.loads(data, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("The document is nested too deeply.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError("The document has a name twice in one object.")
    return document
