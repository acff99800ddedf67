"""Convert a Dockerfile's HEALTHCHECK to the check of an instance. Pure.

Defaults are Docker's (docs.docker.com/reference/dockerfile/#healthcheck).
"""

from __future__ import annotations

from runtime.contract.health import CheckKind, HealthCheck
from runtime.images.manifest import ImageConfig

_NANOSECONDS = 10**9
_INTERVAL = _TIMEOUT = 30.0
_RETRIES = 3
_LONGEST = 3600.0


def health_of(config: ImageConfig) -> HealthCheck | None:
    """Return the check; None if the image has none, or HEALTHCHECK NONE."""
    check = config.healthcheck
    if check is None or not check.test or check.test[0] not in ("CMD", "CMD-SHELL"):
        return None
    shell = (config.shell or ("/bin/sh", "-c")) if check.test[0] == "CMD-SHELL" else ()
    return HealthCheck(
        kind=CheckKind.COMMAND,
        command=(*shell, *check.test[1:]),
        timeout=min(_seconds(check.timeout, _TIMEOUT), _TIMEOUT),
        interval=_seconds(check.interval, _INTERVAL),
        start_period=_seconds(check.start_period, 0.0),
        attempts=min(check.retries or _RETRIES, 100),
    )


def _seconds(nanoseconds: int, default: float) -> float:
    return min(nanoseconds / _NANOSECONDS, _LONGEST) if nanoseconds else default
