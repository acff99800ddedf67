"""The app's routes, derived from a plan builder. Pure."""

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
    """Return the app's routes.

    Also sets the outcome: the candidate is live when the router has them.
    """
    endpoints = pool_of(
        builder, [end for instance in sorted(builder.instances, key=lambda instance: instance.id) for end in _endpoints(builder, instance)]
    )
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
        is_routed = routes == builder.observed.routes
        builder.outcome = Outcome(state=OutcomeState.LIVE if is_routed else OutcomeState.PENDING)
    return routes


def _endpoints(builder: PlanBuilder, instance: ObservedInstance) -> list[Endpoint]:
    if instance.place.process not in builder.desired.public or instance.phase is not Phase.RUNNING:
        return []
    # A draining instance keeps its endpoint while it is stopped. At its deadline it gets SIGTERM
    # with
    # open connections, and closes them itself.
    if instance.id in builder.gone and instance.id not in builder.draining:
        return []
    if instance.id in builder.draining:
        return [_endpoint(instance, draining=True, canary=builder.was_canary(instance.id))] if builder.known_to_router(instance.id) else []
    if not is_healthy(instance, builder.now):
        return []
    if instance.place.group == builder.serving:
        return [_endpoint(instance), *_left_behind(builder, instance)]
    if instance.id not in builder.condemned and builder.target is not None and instance.place.group == group_of(builder.target):
        if builder.moving is Kind.CANARY:
            return [_endpoint(instance, canary=True)] if builder.stage is not None and instance.place.process == WEB else []
        if builder.moving is Kind.ROLLING:
            return [_endpoint(instance)]
    # Until it may leave.
    return [_endpoint(instance, canary=builder.was_canary(instance.id))] if builder.routed(instance.id) else []


def _left_behind(builder: PlanBuilder, instance: ObservedInstance) -> list[Endpoint]:
    """Return the draining canary endpoint of a promoted instance, for its open requests."""
    if not builder.was_canary(instance.id):
        return []
    stage = builder.observed.stage
    since = builder.now if builder.serving != builder.observed.serving else (stage.since if stage is not None else None)
    release = builder.target
    if since is None or release is None or builder.now - since >= release.drain_seconds:
        return []
    builder.look_at(since + release.drain_seconds)
    return [_endpoint(instance, draining=True, canary=True)]


def _endpoint(instance: ObservedInstance, *, draining: bool = False, canary: bool = False) -> Endpoint:
    return Endpoint(
        instance=instance.id, address=instance.address, port=instance.port, draining=draining, process=instance.place.process, canary=canary
    )


def _canary(builder: PlanBuilder, endpoints: list[Endpoint]) -> Canary | None:
    if builder.stage is None or builder.moving is not Kind.CANARY or not any(end.canary and not end.draining for end in endpoints):
        return None
    strategy = builder.desired.strategy
    step = min(builder.stage.step, len(strategy.steps) - 1)
    return Canary(percent=strategy.steps[step].percent, token=strategy.token)


def _situation(builder: PlanBuilder, endpoints: list[Endpoint], process: str) -> AppSituation:
    """Return whether requests for a process type are served, held or refused.

    They are held while an instance of it is starting, and refused with the reason otherwise.
    """
    if any(not end.draining and not end.canary and end.process == process for end in endpoints):
        return AppSituation.SERVING
    if builder.serving is None or builder.target is None:
        return AppSituation.NOT_DEPLOYED
    places = [place for replicas in replica_sets(builder) for place, _ in replicas.places() if place.process == process]
    if not places:
        return AppSituation.NO_INSTANCE
    # If all instances that should serve wait for a back-off, or boot after one, they will hardly be
    # ready in time. A lost instance is back sooner.
    crashes = [builder.observed.crashes.get(place) for place in places]
    hopeless = all(found is not None and found.count > backoff.AT_ONCE and not found.lost for found in crashes)
    return AppSituation.CRASHED if hopeless else AppSituation.HOLDING
