"""The decision to put an app to sleep, and its consequences. Pure.

The first request wakes an app without waiting for a plan (`converge.wake`).
"""

from __future__ import annotations

from runtime.converge.actions import FreezeInstance, PutToSleep, ThawInstance, WakeApp
from runtime.converge.observed import Asleep, ObservedInstance, Phase
from runtime.converge.planning.plan_builder import PlanBuilder, is_healthy, web_count
from runtime.converge.planning.replicas import is_complete


def settle_sleep(builder: PlanBuilder) -> None:
    """Decide whether the app falls asleep or wakes, and freeze or thaw its instances."""
    wakes = builder.asleep is not None and not _may_sleep(builder)
    if wakes:
        builder.asleep = None
    elif builder.asleep is None and _may_sleep(builder):
        _fall_asleep(builder)
    for instance in builder.instances:
        _freeze_or_thaw(builder, instance)
    if wakes:
        # After thawing: if killed between, it still counts as asleep.
        builder.marks.append(WakeApp(at=builder.now))
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
            builder.desired.sleep.workers_count
            and any(process.count for process in target.processes if process.name not in builder.desired.public)
        )
    )


def _fall_asleep(builder: PlanBuilder) -> None:
    sleep, target, active = builder.desired.sleep, builder.desired.current, builder.observed.active_at
    assert sleep is not None
    assert target is not None
    public = [instance for instance in builder.in_service() if instance.public]
    if active is None or not is_complete(builder, target) or any(instance.connections for instance in public):
        return
    idle = builder.now - max([active, *(instance.marks.ready_at or builder.now for instance in public)])
    if idle < sleep.after:
        builder.look_at(builder.now + sleep.after - idle)
        return
    builder.asleep = Asleep(since=builder.now)
    builder.marks.append(PutToSleep(at=builder.now, idle=idle))


def _freeze_or_thaw(builder: PlanBuilder, instance: ObservedInstance) -> None:
    if instance.phase is not Phase.RUNNING:
        return
    if instance.frozen and (builder.asleep is None or not instance.public):
        builder.marks.append(ThawInstance(instance=instance.id, place=instance.place))
    elif (
        builder.asleep is not None
        and instance.public
        and not instance.frozen
        and instance.id not in builder.gone
        and is_healthy(instance, builder.now)
    ):
        if builder.stopped:
            return  # it is stopped instead, under the same condition
        if builder.is_quiet(instance):
            builder.ends.append(FreezeInstance(instance=instance.id, place=instance.place))
        else:
            builder.waiting = True  # until the router sends it nothing and its open requests end
