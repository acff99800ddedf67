"""Health checks for life: what follows when an instance that was ready fails them. Pure; asking is the supervisor's.

`attempts` failures in a row take it out of the pool, if another one there is well; one success brings it back; twice as many
more and it is restarted, one after the other, and counted as a crash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from runtime.converge.actions import TakeBack, TakeOut
from runtime.converge.observed import ObservedInstance, Phase, Place
from runtime.converge.planning.plan_builder import Draft, fails, healthy, is_given_up, why_it_fails
from runtime.converge.planning.replicas import Staff
from runtime.router.table import Endpoint


def note_failing(draft: Draft) -> None:
    """Write down and tell who fails from now on, and who does no more."""
    for one in draft.instances:
        if one.id in draft.draining | draft.condemned | draft.gone:
            continue  # on its way out, and not asked any more
        since, failing = one.marks.failing_since, fails(one, draft.now)
        if failing and since is None:
            draft.marks.append(TakeOut(instance=one.id, place=one.place, at=draft.now, reason=why_it_fails(one)))
        elif not failing and since is not None and one.phase is Phase.RUNNING:
            draft.marks.append(TakeBack(instance=one.id, place=one.place, after=draft.now - since, known=one.pulse is None))


def choose_restarts(draft: Draft, staffs: Sequence[Staff]) -> None:
    """At most one of each process type at a time: what fails may be a database all of them need, and to restart all at once helps nobody."""
    if draft.asleep is not None:
        return
    filled = {one.place: one for one in draft.in_service()}
    for one in staffs:
        for places in _by_process(one):
            given_up = [filled[place] for place in places if place in filled and is_given_up(filled[place], draft.now)]
            if given_up and not any(_is_coming(draft, place, filled.get(place)) for place in places):
                draft.restarting.add(given_up[0].id)


def pool_of(draft: Draft, endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """`endpoints` with those that fail only draining, unless none of their pool is well: then all of it goes on, for want of better."""
    failing = {one.id for one in draft.instances if fails(one, draft.now)}
    well = {(end.process, end.canary) for end in endpoints if not end.draining and end.instance not in failing}
    return [replace(end, draining=True) if end.instance in failing and _has_others(end, well) else end for end in endpoints]


def _has_others(end: Endpoint, well: set[tuple[str, bool]]) -> bool:
    """A canary's share can be taken by the rest; not so the other way round."""
    return (end.process, end.canary) in well or (end.process, False) in well


def _by_process(staff: Staff) -> Iterator[list[Place]]:
    for process in staff.release.processes:
        yield [place for place, _ in staff.places() if place.process == process.name]


def _is_coming(draft: Draft, place: Place, occupant: ObservedInstance | None) -> bool:
    if occupant is not None:
        return not healthy(occupant, draft.now)
    return draft.free_at(place) <= draft.now
