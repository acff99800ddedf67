"""The decision whether a candidate has failed. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from runtime.converge.actions import FailCandidate
from runtime.converge.canary_analysis import GroupTraffic, judge
from runtime.converge.desired import DesiredRelease
from runtime.converge.observed import ObservedInstance, Phase, Slot
from runtime.converge.planning import backoff
from runtime.converge.planning.groups import deciding_types, group_of
from runtime.converge.planning.instance_health import health_failure, is_given_up, is_overdue
from runtime.converge.planning.plan_state import Outcome, OutcomeState, PlanState
from runtime.converge.strategy import StrategyKind


def judge_candidate(state: PlanState) -> PlanState:
    """Decide whether the candidate has failed, now or before.

    Once it serves it can no longer fail: a crash then only causes a restart.
    """
    candidate, verdict = state.candidate, state.observed.verdict
    if candidate is None or state.serving == (group := group_of(candidate)):
        return state
    if verdict is not None and (verdict.release, verdict.attempt) == (
        candidate.number,
        candidate.attempt,
    ):
        outcome = Outcome(
            state=OutcomeState.FAILED, reason=verdict.reason, rolled_back=verdict.rolled_back
        )
        return replace(state, candidate=None, outcome=outcome)
    members = [
        instance
        for instance in state.instances
        if instance.slot.group == group and instance.id not in state.condemned
    ]
    reason = next(_failures(state, candidate, members), None)
    if reason is None:
        return replace(state, outcome=Outcome(state=OutcomeState.PENDING))
    rolled_back = state.moving is StrategyKind.CANARY and state.stage is not None
    ids = tuple(sorted(instance.id for instance in members))
    failed = FailCandidate(
        group=group,
        attempt=candidate.attempt,
        reason=reason,
        instances=ids,
        rolled_back=rolled_back,
    )
    return replace(
        state.marked(failed),
        candidate=None,
        outcome=Outcome(state=OutcomeState.FAILED, reason=reason, rolled_back=rolled_back),
        condemned=state.condemned.union(ids),
    )


def _failures(
    state: PlanState, candidate: DesiredRelease, members: list[ObservedInstance]
) -> Iterator[str]:
    deciding = deciding_types(state.desired, candidate)
    for instance in members:
        if instance.slot.process not in deciding:
            continue
        if instance.phase is Phase.EXITED:
            yield _finding(instance.slot, instance.evidence or "It exited.")
        elif is_overdue(instance, candidate, state.now):
            yield _finding(
                instance.slot,
                instance.evidence or f"It was not ready within {candidate.boot_seconds:.0f} s.",
            )
        elif is_given_up(instance, state.now):
            yield (
                f"{instance.slot} became ready, and then no longer answered its health check:"
                f" {health_failure(instance)}"
            )
    group = group_of(candidate)
    for slot, crashes in sorted(state.observed.crashes.items()):
        if slot.group != group or slot.process not in deciding:
            continue
        if not crashes.lost or crashes.count > backoff.AT_ONCE:
            yield _finding(slot, crashes.reason)
    if (
        state.moving is StrategyKind.CANARY
        and state.stage is not None
        and state.serving is not None
    ):
        watched, rest = (
            state.observed.traffic.get(group, GroupTraffic()),
            state.observed.traffic.get(state.serving, GroupTraffic()),
        )
        if evidence := judge(watched, rest, name=str(group), other=str(state.serving)):
            yield evidence


def _finding(slot: Slot, seen: str) -> str:
    return f"{slot} did not become ready. {seen}"
