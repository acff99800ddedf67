"""Join the Prometheus texts of apps, which the supervisor writes
(`runtime/router/access_log/metrics.py` has the names)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import redis

from portal.events import client

log = logging.getLogger(__name__)
KEY = "slipway:exposition"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def texts_of(app_names: Iterable[str] | None) -> dict[str, str]:
    """Return texts by app. None requests all apps and the requests that reached no app.

    Empty while Redis or the supervisor is not available.
    """
    try:
        if app_names is None:
            everything: Mapping[str, str] = client().hgetall(KEY)  # type: ignore[assignment]  # text: decode_responses is on
            return dict(everything)
        names = list(app_names)
        values: list[str | None] = client().hmget(KEY, names) if names else []  # type: ignore[assignment]  # as above
    except redis.RedisError as error:
        log.warning("No metrics for Prometheus, because Redis did not answer: %s", error)
        return {}
    return {name: text for name, text in zip(names, values, strict=True) if text is not None}


def joined(texts: Iterable[str]) -> str:
    """Join the texts. The description of a metric appears once, followed by the samples of all
    apps."""
    families: dict[str, list[str]] = {}  # description -> samples
    for text in texts:
        description = ""
        for line in text.splitlines():
            if line.startswith("# HELP "):
                description = line
            elif line.startswith("# "):
                description = f"{description}\n{line}"
                families.setdefault(description, [])
            else:
                families[description].append(line)
    return "".join(
        f"{line}\n" for description, samples in families.items() for line in (description, *samples)
    )
