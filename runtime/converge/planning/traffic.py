"""What the router is to know of an app, from a plan in the making. Pure."""

from __future__ import annotations

from dataclasses import replace

from runtime.converge.observed import WEB, ObservedInstance, Phase
from runtime.converge.planning import backoff
from runtime.converge.planning.liveness import pool_of
from runtime.converge.planning.plan_builder import Outcome, OutcomeState, PlanBuilder, group_of, is_healthy
from runtime.converge.planning.replicas import replica_sets
from runtime.converge.strategy import Kind
from runtime.router.routes import AppRoutes, AppSituation, Canary, Endpoint


def routes_of(builder: PlanBuilder) -> AppRoutes:
    """Also settles whether the candidate is live: when the router was told so."""
    endpoints = pool_of(builder, [end for one in sorted(builder.instances, key=lambda one: one.id) for end in _endpoints(builder, one)])
    desired = builder.desired
    routes = AppRoutes(
        app=desired.app,
        hosts=desired.hosts,
        endpoints=tuple(endpoints),
        situation=AppSituation.ASLEEP if builder.asleep is not None else _situation(builder, endpoints, WEB),
        policy=desired.policy,
        paths=tuple(replace(path, situation=_situation(builder, endpoints, path.process)) for path in desired.paths),
        canary=_canary(builder, endpoints),
    )
    if builder.candidate is not None and builder.observed.serving == group_of(builder.candidate):
        told = routes == builder.observed.routes
        builder.outcome = Outcome(state=OutcomeState.LIVE if told else OutcomeState.PENDING)
    return routes


def _endpoints(builder: PlanBuilder, one: ObservedInstance) -> list[Endpoint]:
    if one.place.process not in builder.desired.public or one.phase is not Phase.RUNNING:
        return []
    # Also while it is being stopped: at its deadline it hears SIGTERM with its connections open, and closes them itself.
    if one.id in builder.gone and one.id not in builder.draining:
        return []
    if one.id in builder.draining:
        return [_endpoint(one, draining=True, canary=builder.was_canary(one.id))] if builder.known_to_router(one.id) else []
    if not is_healthy(one, builder.now):
        return []
    if one.place.group == builder.serving:
        return [_endpoint(one), *_left_behind(builder, one)]
    if one.id not in builder.condemned and builder.target is not None and one.place.group == group_of(builder.target):
        if builder.moving is Kind.CANARY:
            return [_endpoint(one, canary=True)] if builder.stage is not None and one.place.process == WEB else []
        if builder.moving is Kind.ROLLING:
            return [_endpoint(one)]
    return [_endpoint(one, canary=builder.was_canary(one.id))] if builder.routed(one.id) else []  # until it may leave


def _left_behind(builder: PlanBuilder, one: ObservedInstance) -> list[Endpoint]:
    """What a promoted canary still answers on its old side: it is not cut off, but drains like any other."""
    if not builder.was_canary(one.id):
        return []
    stage = builder.observed.stage
    since = builder.now if builder.serving != builder.observed.serving else (stage.since if stage is not None else None)
    release = builder.target
    if since is None or release is None or builder.now - since >= release.drain_seconds:
        return []
    builder.look_at(since + release.drain_seconds)
    return [_endpoint(one, draining=True, canary=True)]


def _endpoint(one: ObservedInstance, *, draining: bool = False, canary: bool = False) -> Endpoint:
    return Endpoint(instance=one.id, address=one.address, port=one.port, draining=draining, process=one.place.process, canary=canary)


def _canary(builder: PlanBuilder, endpoints: list[Endpoint]) -> Canary | None:
    if builder.stage is None or builder.moving is not Kind.CANARY or not any(end.canary and not end.draining for end in endpoints):
        return None
    strategy = builder.desired.strategy
    step = min(builder.stage.step, len(strategy.steps) - 1)
    return Canary(percent=strategy.steps[step].percent, token=strategy.token)


def _situation(builder: PlanBuilder, endpoints: list[Endpoint], process: str) -> AppSituation:
    """Requests for a process type are held while an instance of it is on its way, and refused with the reason when none is."""
    if any(not end.draining and not end.canary and end.process == process for end in endpoints):
        return AppSituation.SERVING
    if builder.serving is None or builder.target is None:
        return AppSituation.NOT_DEPLOYED
    places = [place for one in replica_sets(builder) for place, _ in one.places() if place.process == process]
    if not places:
        return AppSituation.NO_INSTANCE
    # Where all that should serve waits for its back-off, or boots after one, it will hardly be there in time. A lost one is back sooner.
    crashes = [builder.observed.crashes.get(place) for place in places]
    hopeless = all(found is not None and found.count > backoff.AT_ONCE and not found.lost for found in crashes)
    return AppSituation.CRASHED if hopeless else AppSituation.HOLDING
