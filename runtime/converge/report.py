"""What people see of an app's instances: one state and one sentence each, from what was observed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runtime.converge.observed import ObservedApp, ObservedInstance, Phase
from runtime.converge.planning import backoff
from runtime.converge.planning.plan_builder import fails_checks, is_healthy, why_it_fails

_STARTS_WITHIN = 5.0  # seconds of waking, which starts all that is made


class State(StrEnum):
    """Of an instance, as shown."""

    STARTING = "starting"
    WAKING = "waking"
    LIVE = "live"
    DRAINING = "draining"
    CRASHED = "crashed"
    ASLEEP = "asleep"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReport:
    """One instance, or the last one of a place that waits for its back-off."""

    id: str
    process: str
    release: int
    state: State
    detail: str
    restarts: int
    started_at: float | None


def report(observed: ObservedApp, now: float) -> tuple[InstanceReport, ...]:
    """All instances of an app that exist, and the crashed ones that will be started again."""
    there = {one.id for one in observed.instances}
    made = [one for one in observed.instances if one.phase is not Phase.CREATED or observed.asleep is not None]
    present = tuple(_present(observed, one, now) for one in made)
    filled = {one.place for one in observed.instances}
    absent = tuple(
        InstanceReport(
            id=crashes.instance,
            process=place.process,
            release=place.group.release,
            state=State.CRASHED,
            detail=f"{crashes.reason}\n{_when(crashes.at + backoff.delay(crashes.count, lost=crashes.lost), now)}",
            restarts=crashes.count,
            started_at=None,
        )
        for place, crashes in observed.crashes.items()
        if crashes.instance and crashes.instance not in there and place not in filled
    )
    return present + absent


def _present(observed: ObservedApp, one: ObservedInstance, now: float) -> InstanceReport:
    crashes = observed.crashes.get(one.place)
    return InstanceReport(
        id=one.id,
        process=one.place.process,
        release=one.place.group.release,
        state=State.ASLEEP if observed.asleep is not None and one.public else _state(observed, one, now),
        detail=one.evidence or (f"It fails its health check: {why_it_fails(one)}" if fails_checks(one, now) else ""),
        restarts=crashes.count if crashes else 0,
        started_at=one.started_at,
    )


def _state(observed: ObservedApp, one: ObservedInstance, now: float) -> State:
    if one.phase is not Phase.RUNNING:
        return State.CRASHED if one.marks.draining_since is None and not one.marks.condemned else State.DRAINING
    if one.marks.draining_since is not None or one.marks.condemned:
        return State.DRAINING
    if is_healthy(one, now):
        return State.LIVE
    return State.WAKING if _was_started_by_waking(observed, one) else State.STARTING


def _was_started_by_waking(observed: ObservedApp, one: ObservedInstance) -> bool:
    woken = one.started_at is not None and abs(one.started_at - observed.woken_at) < _STARTS_WITHIN
    return woken and one.public and one.place.group == observed.serving and one.place not in observed.crashes


def _when(moment: float, now: float) -> str:
    wait = moment - now
    if wait < 1:
        return "It is started again now."
    return f"It is started again in {wait:.0f} s." if wait < 90 else f"It is started again in {wait / 60:.0f} min."
