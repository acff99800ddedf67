"""How many places of which group are to be filled right now: the arithmetic of the rollout strategies. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from runtime.converge.desired import DesiredProcess, DesiredRelease
from runtime.converge.observed import WEB, Group, Place
from runtime.converge.planning.plan_builder import Draft, group_of, healthy, well
from runtime.converge.strategy import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """A group that is kept at strength: places 1 to `counts` of each process type."""

    release: DesiredRelease
    group: Group
    counts: Mapping[str, int]

    def places(self) -> Iterator[tuple[Place, DesiredProcess]]:
        for process in self.release.processes:
            for number in range(1, self.counts.get(process.name, 0) + 1):
                yield Place(self.group, process.name, number), process


def staff(draft: Draft) -> tuple[Staff, ...]:
    """The target, and the group that serves meanwhile, each as strong as the strategy wants it at this moment."""
    full = tuple(Staff(release=release, group=group, counts=_counts(release)) for release, group in draft.staffed)
    if draft.moving is Kind.RECREATE:
        return full[:1]
    if draft.moving is Kind.ROLLING and len(full) == 2:
        return _rolling(draft, *full)
    if draft.moving is Kind.CANARY and not draft.may_have_all:
        return (replace(full[0], counts={WEB: draft.canary_places}), *full[1:])
    return full


def whole(draft: Draft, release: DesiredRelease, counts: Mapping[str, int] | None = None) -> bool:
    """Every place is filled by an instance that is well and that nobody sends away; of all places, or of `counts`."""
    filled = {one.place for one in draft.in_service() if well(one, draft.now)}
    wanted = Staff(release=release, group=group_of(release), counts=_counts(release) if counts is None else counts)
    return all(place in filled for place, _ in wanted.places())


def places_of(release: DesiredRelease, group: Group) -> Iterator[Place]:
    """All places of a group at full strength."""
    return (place for place, _ in Staff(release=release, group=group, counts=_counts(release)).places())


def _rolling(draft: Draft, target: Staff, serving: Staff) -> tuple[Staff, Staff]:
    """Each fresh instance that is healthy takes the place of an old one; `surge` more are on their way."""
    ready: dict[str, int] = {}
    for one in draft.in_service():
        if one.place.group == target.group and healthy(one, draft.now):
            ready[one.place.process] = ready.get(one.place.process, 0) + 1
    fresh = {
        name: min(count, ready.get(name, 0) + draft.desired.strategy.surge) if name in serving.counts else count
        for name, count in target.counts.items()
    }
    old = {name: max(0, count - ready.get(name, 0)) for name, count in serving.counts.items()}
    return replace(target, counts=fresh), replace(serving, counts=old)


def _counts(release: DesiredRelease) -> dict[str, int]:
    return {process.name: process.count for process in release.processes}
