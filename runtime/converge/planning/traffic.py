"""The app's routes, derived from the state of a plan. Pure."""

from __future__ import annotations

from dataclasses import replace

from runtime.converge.observed import WEB, ObservedInstance, Phase
from runtime.converge.planning import backoff
from runtime.converge.planning.groups import group_of
from runtime.converge.planning.instance_health import is_healthy
from runtime.converge.planning.liveness import pool_of
from runtime.converge.planning.plan_state import Outcome, OutcomeState, PlanState
from runtime.converge.planning.replicas import replica_sets
from runtime.converge.strategy import StrategyKind
from runtime.router.routes import AppRoutes, AppSituation, Canary, Endpoint


def routes_of(state: PlanState) -> tuple[AppRoutes, PlanState]:
    """Return the app's routes, and the state with the outcome: the candidate is live when the
    router has them."""
    found: list[Endpoint] = []
    for instance in sorted(state.instances, key=lambda instance: instance.id):
        endpoints, state = _endpoints(state, instance)
        found += endpoints
    pool, desired = pool_of(state, found), state.desired
    routes = AppRoutes(
        app=desired.app,
        hosts=desired.hosts,
        endpoints=tuple(pool),
        situation=AppSituation.ASLEEP if state.asleep is not None else _situation(state, pool, WEB),
        policy=desired.policy,
        paths=tuple(
            replace(path, situation=_situation(state, pool, path.process)) for path in desired.paths
        ),
        canary=_canary(state, pool),
    )
    if state.candidate is None or state.observed.serving != group_of(state.candidate):
        return routes, state
    is_routed = routes == state.observed.routes
    return routes, replace(
        state, outcome=Outcome(state=OutcomeState.LIVE if is_routed else OutcomeState.PENDING)
    )


def _endpoints(state: PlanState, instance: ObservedInstance) -> tuple[list[Endpoint], PlanState]:
    """Return the endpoints of an instance, and the state with the time when they must change."""
    if instance.slot.process not in state.desired.public or instance.phase is not Phase.RUNNING:
        return [], state
    # A draining instance keeps its endpoint while it is stopped. At its deadline it gets SIGTERM
    # with open connections, and closes them itself.
    if instance.id in state.gone and instance.id not in state.draining:
        return [], state
    if instance.id in state.draining:
        known = state.known_to_router(instance.id)
        return (
            [_endpoint(instance, draining=True, canary=state.was_canary(instance.id))]
            if known
            else []
        ), state
    if not is_healthy(instance, state.now):
        return [], state
    if instance.slot.group == state.serving:
        return _serving_endpoints(state, instance)
    if (
        instance.id not in state.condemned
        and state.target is not None
        and instance.slot.group == group_of(state.target)
    ):
        if state.moving is StrategyKind.CANARY:
            return (
                [_endpoint(instance, canary=True)]
                if state.stage is not None and instance.slot.process == WEB
                else []
            ), state
        if state.moving is StrategyKind.ROLLING:
            return [_endpoint(instance)], state
    # Until it may leave.
    return (
        [_endpoint(instance, canary=state.was_canary(instance.id))]
        if state.routed(instance.id)
        else []
    ), state


def _serving_endpoints(
    state: PlanState, instance: ObservedInstance
) -> tuple[list[Endpoint], PlanState]:
    """Return the endpoint of a serving instance. A promoted canary has a second, draining one for
    its open requests."""
    endpoints, stage, release = [_endpoint(instance)], state.observed.stage, state.target
    if not state.was_canary(instance.id):
        return endpoints, state
    since = (
        state.now
        if state.serving != state.observed.serving
        else (stage.since if stage is not None else None)
    )
    if since is None or release is None or state.now - since >= release.drain_seconds:
        return endpoints, state
    return [*endpoints, _endpoint(instance, draining=True, canary=True)], state.looking_at(
        since + release.drain_seconds
    )


def _endpoint(
    instance: ObservedInstance, *, draining: bool = False, canary: bool = False
) -> Endpoint:
    return Endpoint(
        instance=instance.id,
        address=instance.address,
        port=instance.port,
        draining=draining,
        process=instance.slot.process,
        canary=canary,
    )


def _canary(state: PlanState, endpoints: list[Endpoint]) -> Canary | None:
    if (
        state.stage is None
        or state.moving is not StrategyKind.CANARY
        or not any(end.canary and not end.draining for end in endpoints)
    ):
        return None
    strategy = state.desired.strategy
    step = min(state.stage.step, len(strategy.steps) - 1)
    return Canary(percent=strategy.steps[step].percent, token=strategy.token)


def _situation(state: PlanState, endpoints: list[Endpoint], process: str) -> AppSituation:
    """Return whether requests for a process type are served, held or refused.

    They are held while an instance of it is starting, and refused with the reason otherwise.
    """
    if any(not end.draining and not end.canary and end.process == process for end in endpoints):
        return AppSituation.SERVING
    if state.serving is None or state.target is None:
        return AppSituation.NOT_DEPLOYED
    slots = [
        slot
        for replicas in replica_sets(state)
        for slot, _ in replicas.slots()
        if slot.process == process
    ]
    if not slots:
        return AppSituation.NO_INSTANCE
    # If all instances that should serve wait for a back-off, or boot after one, they will hardly be
    # ready in time. A lost instance is back sooner.
    crashes = [state.observed.crashes.get(slot) for slot in slots]
    hopeless = all(
        found is not None and found.count > backoff.AT_ONCE and not found.lost for found in crashes
    )
    return AppSituation.CRASHED if hopeless else AppSituation.HOLDING
