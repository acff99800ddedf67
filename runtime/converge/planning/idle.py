"""Falling asleep and what follows from it. Pure. Waking is the first request's, and does not wait for a plan (`engines.node.wake`)."""

from __future__ import annotations

from runtime.converge.actions import FreezeInstance, PutToSleep, ThawInstance, WakeApp
from runtime.converge.observed import Asleep, ObservedInstance, Phase
from runtime.converge.planning.plan_builder import PlanBuilder, is_healthy, web_count
from runtime.converge.planning.replicas import is_complete


def settle_sleep(builder: PlanBuilder) -> None:
    """Whether the app sleeps from now on, or no more; and each instance is frozen or thawed accordingly."""
    wakes = builder.asleep is not None and not _may_sleep(builder)
    if wakes:
        builder.asleep = None
    elif builder.asleep is None and _may_sleep(builder):
        _fall_asleep(builder)
    for one in builder.instances:
        _freeze_or_thaw(builder, one)
    if wakes:
        builder.marks.append(WakeApp(at=builder.now))  # after the thawing: killed in between, it is still known to sleep
    if builder.asleep is not None and builder.desired.sleep is not None and not builder.stopped:
        builder.look_at(builder.asleep.since + builder.desired.sleep.stop_after)


def _may_sleep(builder: PlanBuilder) -> bool:
    target = builder.desired.current
    return (
        builder.desired.sleep is not None
        and builder.desired.candidate is None
        and target is not None
        and builder.moving is None
        and builder.serving is not None
        and web_count(target) > 0
        and not (
            builder.desired.sleep.workers_count and any(one.count for one in target.processes if one.name not in builder.desired.public)
        )
    )


def _fall_asleep(builder: PlanBuilder) -> None:
    sleep, target, active = builder.desired.sleep, builder.desired.current, builder.observed.active_at
    assert sleep is not None
    assert target is not None
    public = [one for one in builder.in_service() if one.public]
    if active is None or not is_complete(builder, target) or any(one.connections for one in public):
        return
    idle = builder.now - max([active, *(one.marks.ready_at or builder.now for one in public)])
    if idle < sleep.after:
        builder.look_at(builder.now + sleep.after - idle)
        return
    builder.asleep = Asleep(since=builder.now)
    builder.marks.append(PutToSleep(at=builder.now, idle=idle))


def _freeze_or_thaw(builder: PlanBuilder, one: ObservedInstance) -> None:
    if one.phase is not Phase.RUNNING:
        return
    if one.frozen and (builder.asleep is None or not one.public):
        builder.marks.append(ThawInstance(instance=one.id, place=one.place))
    elif builder.asleep is not None and one.public and not one.frozen and one.id not in builder.gone and is_healthy(one, builder.now):
        if builder.stopped:
            return  # it ends as soon as it might be frozen
        if builder.is_quiet(one):
            builder.ends.append(FreezeInstance(instance=one.id, place=one.place))
        else:
            builder.waiting = True  # until the router sends it nothing, and what it has is answered
