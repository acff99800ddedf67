"""Resolve the effective health check of an app. Precedence: manifest, settings, Dockerfile,
default.

The node runs the check.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from portal.apps.declared import Declared, Health
from portal.apps.models import App, CheckKind, HealthSettings


class HealthSource(StrEnum):
    """The sources of a health check, highest precedence first."""

    FILE = "file"  # slipway.toml or app.json
    SETTINGS = "settings"  # the settings page, or the API
    DOCKERFILE = "dockerfile"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveCheck:
    """The effective check. All its values are from one source."""

    source: HealthSource
    check: Health


def effective_check_of(app: App, declared: Declared) -> EffectiveCheck:
    """Return the check for instances of a release with this manifest."""
    if declared.health is not None:
        return EffectiveCheck(source=HealthSource.FILE, check=declared.health)
    if (row := health_of(app)) is not None:
        return EffectiveCheck(source=HealthSource.SETTINGS, check=check_of(row))
    if declared.image_health is not None:
        return EffectiveCheck(source=HealthSource.DOCKERFILE, check=declared.image_health)
    return EffectiveCheck(source=HealthSource.DEFAULT, check=check_of(HealthSettings()))


def current_check(app: App) -> EffectiveCheck:
    """Return the check for the live release, or for an app without one."""
    return effective_check_of(
        app, app.current_release.declared if app.current_release else Declared()
    )


def health_of(app: App) -> HealthSettings | None:
    """Return the check that was set in the portal, or None."""
    return HealthSettings.objects.filter(app=app).first()


def check_of(row: HealthSettings) -> Health:
    """Return the check as a value. Path and command are set only if the kind uses them."""
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
    """Describe a check for the audit log: "GET /healthz, timeout 5 s, every 10 s, 3 attempts, start
    period 30 s"."""
    words = _words(row)
    words = words if len(words) <= 160 else f"{words[:159]}…"
    counted = "1 attempt" if row.attempts == 1 else f"{row.attempts} attempts"
    return (
        f"{words}, timeout {row.timeout:g} s, every {row.interval:g} s, {counted}, start period"
        f" {row.start_period:g} s"
    )


def _words(row: HealthSettings) -> str:
    """Describe the check in the same words as the node (runtime/contract/health.py). A test
    compares the two."""
    match row.kind:
        case CheckKind.TCP:
            return "a connection to its port"
        case CheckKind.COMMAND:
            return f"`{row.command}`"
        case _:
            return f"GET {row.path}"
