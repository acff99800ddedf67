"""Health checks for life: what follows when an instance that was ready fails them. Pure; asking is the supervisor's.

`attempts` failures in a row take it out of the pool, if another one there is well; one success brings it back; twice as many
more and it is restarted, one after the other, and counted as a crash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from runtime.converge.actions import ReturnToRotation, TakeOutOfRotation
from runtime.converge.observed import ObservedInstance, Phase, Slot
from runtime.converge.planning.plan_builder import PlanBuilder, fails_checks, is_given_up, is_healthy, why_it_fails
from runtime.converge.planning.replicas import ReplicaSet
from runtime.router.routes import Endpoint


def note_failing(builder: PlanBuilder) -> None:
    """Write down and tell who fails from now on, and who does no more."""
    for one in builder.instances:
        if one.id in builder.draining | builder.condemned | builder.gone:
            continue  # on its way out, and not asked any more
        since, failing = one.marks.failing_since, fails_checks(one, builder.now)
        if failing and since is None:
            builder.marks.append(TakeOutOfRotation(instance=one.id, place=one.place, at=builder.now, reason=why_it_fails(one)))
        elif not failing and since is not None and one.phase is Phase.RUNNING:
            builder.marks.append(ReturnToRotation(instance=one.id, place=one.place, after=builder.now - since, known=one.pulse is None))


def choose_restarts(builder: PlanBuilder, staffs: Sequence[ReplicaSet]) -> None:
    """At most one of each process type at a time: what fails may be a database all of them need, and to restart all at once helps nobody."""
    if builder.asleep is not None:
        return
    filled = {one.place: one for one in builder.in_service()}
    for one in staffs:
        for places in _by_process(one):
            given_up = [filled[place] for place in places if place in filled and is_given_up(filled[place], builder.now)]
            if given_up and not any(_is_coming(builder, place, filled.get(place)) for place in places):
                builder.restarting.add(given_up[0].id)


def pool_of(builder: PlanBuilder, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """`endpoints` with those that fail only draining, unless none of their pool is well: then all of it goes on, for want of better."""
    failing = {one.id for one in builder.instances if fails_checks(one, builder.now)}
    well = {(end.process, end.canary) for end in endpoints if not end.draining and end.instance not in failing}
    return [replace(end, draining=True) if end.instance in failing and _has_others(end, well) else end for end in endpoints]


def _has_others(end: Endpoint, well: set[tuple[str, bool]]) -> bool:
    """A canary's share can be taken by the rest; not so the other way round."""
    return (end.process, end.canary) in well or (end.process, False) in well


def _by_process(staff: ReplicaSet) -> Iterator[list[Slot]]:
    for process in staff.release.processes:
        yield [place for place, _ in staff.places() if place.process == process.name]


def _is_coming(builder: PlanBuilder, place: Slot, occupant: ObservedInstance | None) -> bool:
    if occupant is not None:
        return not is_healthy(occupant, builder.now)
    return builder.free_at(place) <= builder.now
