"""The number of instances that each group should have now, by rollout strategy. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from runtime.converge.desired import DesiredProcess, DesiredRelease
from runtime.converge.observed import WEB, Group, Slot
from runtime.converge.planning.groups import deciding_types, group_of
from runtime.converge.planning.instance_health import is_healthy, is_live
from runtime.converge.planning.plan_state import PlanState
from runtime.converge.strategy import StrategyKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSet:
    """A group that is kept complete: slots 1 to `counts` of each process type."""

    release: DesiredRelease
    group: Group
    counts: Mapping[str, int]

    def slots(self) -> Iterator[tuple[Slot, DesiredProcess]]:
        for process in self.release.processes:
            for number in range(1, self.counts.get(process.name, 0) + 1):
                yield Slot(self.group, process.name, number), process


def replica_sets(state: PlanState) -> tuple[ReplicaSet, ...]:
    """Return the target and the serving group, each with the counts that the strategy wants now."""
    full = tuple(
        ReplicaSet(release=release, group=group, counts=_counts(release))
        for release, group in state.groups_to_keep
    )
    if state.moving is StrategyKind.RECREATE:
        return full[:1]
    if state.moving is StrategyKind.ROLLING and len(full) == 2:
        return _rolling(state, *full)
    if state.moving is StrategyKind.CANARY and not state.may_have_all:
        return (replace(full[0], counts={WEB: state.canary_count}), *full[1:])
    return full


def is_complete(
    state: PlanState, release: DesiredRelease, counts: Mapping[str, int] | None = None
) -> bool:
    """Return whether every slot, or every slot of `counts`, has a live instance in service.

    A slot of a type that does not decide also counts after its process has ended or failed once.
    """
    filled = {instance.slot for instance in state.in_service() if is_live(instance, state.now)}
    wanted = ReplicaSet(
        release=release,
        group=group_of(release),
        counts=_counts(release) if counts is None else counts,
    )
    deciding = deciding_types(state.desired, release)
    return all(
        slot in filled or (slot.process not in deciding and slot in state.observed.crashes)
        for slot, _ in wanted.slots()
    )


def slots_of(release: DesiredRelease, group: Group) -> Iterator[Slot]:
    """Return all slots of a complete group."""
    return (
        slot
        for slot, _ in ReplicaSet(release=release, group=group, counts=_counts(release)).slots()
    )


def _rolling(
    state: PlanState, target: ReplicaSet, serving: ReplicaSet
) -> tuple[ReplicaSet, ReplicaSet]:
    """Replace one old instance for each new healthy one, and start up to `surge` more new ones."""
    ready: dict[str, int] = {}
    for instance in state.in_service():
        if instance.slot.group == target.group and is_healthy(instance, state.now):
            ready[instance.slot.process] = ready.get(instance.slot.process, 0) + 1
    fresh = {
        name: (
            min(count, ready.get(name, 0) + state.desired.strategy.surge)
            if name in serving.counts
            else count
        )
        for name, count in target.counts.items()
    }
    old = {name: max(0, count - ready.get(name, 0)) for name, count in serving.counts.items()}
    return replace(target, counts=fresh), replace(serving, counts=old)


def _counts(release: DesiredRelease) -> dict[str, int]:
    return {process.name: process.count for process in release.processes}
