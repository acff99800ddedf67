"""Whose word counts for an app's health check: its file's, the settings', its Dockerfile's or ours. Asking is the node's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from portal.apps.models import App, CheckKind, HealthSettings
from portal.releases.declared import Declared, Health


class Source(StrEnum):
    """Who may say it, first to last."""

    FILE = "file"  # slipway.toml or app.json
    SETTINGS = "settings"  # the app's page, or the API
    DOCKERFILE = "dockerfile"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """The check that counts, whole: of two sources nothing is mixed."""

    source: Source
    check: Health


def counting_for(app: App, declared: Declared) -> Counting:
    """For instances of a release whose file said that."""
    if declared.health is not None:
        return Counting(source=Source.FILE, check=declared.health)
    if (row := health_of(app)) is not None:
        return Counting(source=Source.SETTINGS, check=check_of(row))
    if declared.image_health is not None:
        return Counting(source=Source.DOCKERFILE, check=declared.image_health)
    return Counting(source=Source.DEFAULT, check=check_of(HealthSettings()))


def counting_now(app: App) -> Counting:
    """For the live release, or for an app without one."""
    return counting_for(app, app.current_release.declared if app.current_release else Declared())


def health_of(app: App) -> HealthSettings | None:
    """What is set in the portal, if anything is."""
    return HealthSettings.objects.filter(app=app).first()


def check_of(row: HealthSettings) -> Health:
    """As a value; of path and command only what its kind asks."""
    line = row.command if row.kind == CheckKind.COMMAND else ""
    return Health(
        kind=row.kind,
        path=row.path if row.kind == CheckKind.HTTP else "/",
        command=("/bin/sh", "-c", line) if line else (),
        timeout=float(row.timeout),
        start_period=float(row.start_period),
        interval=float(row.interval),
        attempts=row.attempts,
        words=_words(row),
    )


def describe(row: HealthSettings) -> str:
    """For the audit log: "GET /healthz, 5 s each, every 10 s, 3 attempts, 30 s to start"."""
    words = _words(row)
    words = words if len(words) <= 160 else f"{words[:159]}…"
    counted = "1 attempt" if row.attempts == 1 else f"{row.attempts} attempts"
    return f"{words}, {row.timeout:g} s each, every {row.interval:g} s, {counted}, {row.start_period:g} s to start"


def _words(row: HealthSettings) -> str:
    """As the node says it (runtime/health.py), which a test holds together."""
    match row.kind:
        case CheckKind.TCP:
            return "a connection to its port"
        case CheckKind.COMMAND:
            return f"`{row.command}`"
        case _:
            return f"GET {row.path}"
