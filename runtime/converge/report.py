"""The report of an app's instances for people: one state and one sentence each. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runtime.converge.observed import WEB, Crashes, ObservedApp, ObservedInstance, Phase
from runtime.converge.planning import backoff
from runtime.converge.planning.instance_health import fails_checks, health_failure, is_healthy

_STARTS_WITHIN = 5.0  # seconds after a wake, which starts all created instances


class State(StrEnum):
    """The state of an instance, as shown."""

    STARTING = "starting"
    WAKING = "waking"
    LIVE = "live"
    DRAINING = "draining"
    CRASHED = "crashed"
    ASLEEP = "asleep"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReport:
    """One instance, or the last instance of a slot that waits for its back-off."""

    id: str
    process: str
    release: int
    state: State
    detail: str
    restarts: int
    started_at: float | None


def report(observed: ObservedApp, now: float) -> tuple[InstanceReport, ...]:
    """Return all existing instances of an app, and the crashed ones that will be started again."""
    there = {instance.id for instance in observed.instances}
    made = [
        instance
        for instance in observed.instances
        if instance.phase is not Phase.CREATED or observed.asleep is not None
    ]
    present = tuple(_present(observed, instance, now) for instance in made)
    filled = {instance.slot for instance in observed.instances}
    absent = tuple(
        InstanceReport(
            id=crashes.instance,
            process=slot.process,
            release=slot.group.release,
            state=State.CRASHED,
            detail=f"{crashes.reason}\n{_next_start(crashes, now)}{_advice(slot.process)}",
            restarts=crashes.count,
            started_at=None,
        )
        for slot, crashes in observed.crashes.items()
        if crashes.instance and crashes.instance not in there and slot not in filled
    )
    return present + absent


def _present(observed: ObservedApp, instance: ObservedInstance, now: float) -> InstanceReport:
    crashes = observed.crashes.get(instance.slot)
    return InstanceReport(
        id=instance.id,
        process=instance.slot.process,
        release=instance.slot.group.release,
        state=(
            State.ASLEEP
            if observed.asleep is not None and instance.public
            else _state(observed, instance, now)
        ),
        detail=instance.evidence
        or (
            f"It fails its health check: {health_failure(instance)}"
            if fails_checks(instance, now)
            else ""
        ),
        restarts=crashes.count if crashes else 0,
        started_at=instance.started_at,
    )


def _state(observed: ObservedApp, instance: ObservedInstance, now: float) -> State:
    if instance.phase is not Phase.RUNNING:
        return (
            State.CRASHED
            if instance.marks.draining_since is None and not instance.marks.condemned
            else State.DRAINING
        )
    if instance.marks.draining_since is not None or instance.marks.condemned:
        return State.DRAINING
    if is_healthy(instance, now):
        return State.LIVE
    return State.WAKING if _was_started_by_waking(observed, instance) else State.STARTING


def _was_started_by_waking(observed: ObservedApp, instance: ObservedInstance) -> bool:
    woken = (
        instance.started_at is not None
        and abs(instance.started_at - observed.woken_at) < _STARTS_WITHIN
    )
    return (
        woken
        and instance.public
        and instance.slot.group == observed.serving
        and instance.slot not in observed.crashes
    )


def _advice(process: str) -> str:
    """Return the advice for a type that need not run all the time, as `web` does."""
    if process == WEB:
        return ""
    return f" If {process} is a command that ends by itself, scale it to 0 and run it when needed."


def _next_start(crashes: Crashes, now: float) -> str:
    wait = crashes.at + backoff.delay(crashes.count, lost=crashes.lost) - now
    if wait < 1:
        return "It is started again now."
    return (
        f"It is started again in {wait:.0f} s."
        if wait < 90
        else f"It is started again in {wait / 60:.0f} min."
    )
