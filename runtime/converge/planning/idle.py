"""Falling asleep and what follows from it. Pure. Waking is the first request's, and does not wait for a plan (`engines.node.wake`)."""

from __future__ import annotations

from runtime.converge.actions import FallAsleep, Freeze, Thaw, WakeUp
from runtime.converge.observed import Asleep, ObservedInstance, Phase
from runtime.converge.planning.plan_builder import Draft, healthy, web_count
from runtime.converge.planning.replicas import whole


def settle_sleep(draft: Draft) -> None:
    """Whether the app sleeps from now on, or no more; and each instance is frozen or thawed accordingly."""
    wakes = draft.asleep is not None and not _may_sleep(draft)
    if wakes:
        draft.asleep = None
    elif draft.asleep is None and _may_sleep(draft):
        _fall_asleep(draft)
    for one in draft.instances:
        _freeze_or_thaw(draft, one)
    if wakes:
        draft.marks.append(WakeUp(at=draft.now))  # after the thawing: killed in between, it is still known to sleep
    if draft.asleep is not None and draft.desired.sleep is not None and not draft.stopped:
        draft.look_at(draft.asleep.since + draft.desired.sleep.stop_after)


def _may_sleep(draft: Draft) -> bool:
    target = draft.desired.current
    return (
        draft.desired.sleep is not None
        and draft.desired.candidate is None
        and target is not None
        and draft.moving is None
        and draft.serving is not None
        and web_count(target) > 0
        and not (draft.desired.sleep.workers_count and any(one.count for one in target.processes if one.name not in draft.desired.public))
    )


def _fall_asleep(draft: Draft) -> None:
    sleep, target, active = draft.desired.sleep, draft.desired.current, draft.observed.active_at
    assert sleep is not None
    assert target is not None
    public = [one for one in draft.in_service() if one.public]
    if active is None or not whole(draft, target) or any(one.connections for one in public):
        return
    idle = draft.now - max([active, *(one.marks.ready_at or draft.now for one in public)])
    if idle < sleep.after:
        draft.look_at(draft.now + sleep.after - idle)
        return
    draft.asleep = Asleep(since=draft.now)
    draft.marks.append(FallAsleep(at=draft.now, idle=idle))


def _freeze_or_thaw(draft: Draft, one: ObservedInstance) -> None:
    if one.phase is not Phase.RUNNING:
        return
    if one.frozen and (draft.asleep is None or not one.public):
        draft.marks.append(Thaw(instance=one.id, place=one.place))
    elif draft.asleep is not None and one.public and not one.frozen and one.id not in draft.gone and healthy(one, draft.now):
        if draft.stopped:
            return  # it ends as soon as it might be frozen
        if draft.is_quiet(one):
            draft.ends.append(Freeze(instance=one.id, place=one.place))
        else:
            draft.waiting = True  # until the router sends it nothing, and what it has is answered
