"""Prometheus' text of some apps, joined from the texts that the supervisor wrote of each (`runtime/router/metrics.py` has the names)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import redis

from portal.activity.events import client

log = logging.getLogger(__name__)
KEY = "slipway:exposition"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def texts_of(app_names: Iterable[str] | None) -> dict[str, str]:
    """App to text; None asks for all, with what reached no app. Empty while Redis or the supervisor is away."""
    try:
        if app_names is None:
            everything: Mapping[str, str] = client().hgetall(KEY)  # type: ignore[assignment]  # text: decode_responses is on
            return dict(everything)
        names = list(app_names)
        values: list[str | None] = client().hmget(KEY, names) if names else []  # type: ignore[assignment]  # as above
    except redis.RedisError as error:
        log.warning("No numbers for Prometheus, Redis did not answer: %s", error)
        return {}
    return {name: text for name, text in zip(names, values, strict=True) if text is not None}


def joined(texts: Iterable[str]) -> str:
    """One text: a metric's description stands once, with the samples of all apps below it."""
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
    return "".join(f"{line}\n" for description, samples in families.items() for line in (description, *samples))
