"""The health of one instance, from its phase and its health checks. Pure."""

from __future__ import annotations

from runtime.contract.health import HealthCheck
from runtime.converge.desired import DesiredRelease
from runtime.converge.observed import ObservedInstance, Phase

# More failures until a restart, as a multiple of the attempts that take it out of the pool.
RESTART_FACTOR = 2
STALE_AFTER = 3  # missed health checks after which the last result is ignored
# A process without a port is ready after this uptime: a wrong import or setting ends it sooner.
SETTLE_SECONDS = 2.0


def is_healthy(instance: ObservedInstance, now: float) -> bool:
    """Return whether the instance is ready or, without a port, has been up long enough."""
    if instance.phase is not Phase.RUNNING:
        return False
    if instance.marks.ready_at is not None:
        return True
    if instance.public:
        return instance.answers
    return instance.started_at is not None and now - instance.started_at >= SETTLE_SECONDS


def is_live(instance: ObservedInstance, now: float) -> bool:
    """Return whether the instance is healthy and still passes its health checks."""
    return is_healthy(instance, now) and not fails_checks(instance, now)


def fails_checks(instance: ObservedInstance, now: float) -> bool:
    """Return whether a ready instance has failed `attempts` consecutive health checks or more."""
    return _failures(instance, now) >= (instance.marks.check or HealthCheck()).attempts


def is_given_up(instance: ObservedInstance, now: float) -> bool:
    """Return whether the instance has failed so many checks that only a restart may help."""
    return (
        _failures(instance, now)
        >= (1 + RESTART_FACTOR) * (instance.marks.check or HealthCheck()).attempts
    )


def health_failure(instance: ObservedInstance) -> str:
    """Return the failure of its last health check, or "" if it is not known to fail."""
    check, pulse = instance.marks.check, instance.pulse
    return (
        f"{check.describe()} {pulse.trouble}, {pulse.failures} times in a row."
        if check is not None and pulse is not None
        else ""
    )


def _failures(instance: ObservedInstance, now: float) -> int:
    """Return the number of consecutive failures; 0 if there is no check or the result is stale.

    A result is stale if the supervisor is not running, or if the instance slept.
    """
    check, pulse = instance.marks.check, instance.pulse
    if check is None or pulse is None or instance.frozen or instance.phase is not Phase.RUNNING:
        return 0
    return pulse.failures if now - pulse.at <= STALE_AFTER * (check.interval + check.timeout) else 0


def is_overdue(instance: ObservedInstance, release: DesiredRelease, now: float) -> bool:
    """Return whether the instance has booted for longer than its release allows."""
    started = instance.started_at
    return (
        instance.phase is Phase.RUNNING
        and not is_healthy(instance, now)
        and started is not None
        and now - started >= release.boot_seconds
    )
