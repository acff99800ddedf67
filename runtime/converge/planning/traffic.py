"""What the router is to know of an app, from a plan in the making. Pure."""

from __future__ import annotations

from dataclasses import replace

from runtime.converge.observed import WEB, ObservedInstance, Phase
from runtime.converge.planning import backoff
from runtime.converge.planning.liveness import pool_of
from runtime.converge.planning.plan_builder import Draft, Outcome, OutcomeState, group_of, healthy
from runtime.converge.planning.replicas import staff
from runtime.converge.strategy import Kind
from runtime.router.table import AppRoutes, AppSituation, Canary, Endpoint


def routes_of(draft: Draft) -> AppRoutes:
    """Also settles whether the candidate is live: when the router was told so."""
    endpoints = pool_of(draft, [end for one in sorted(draft.instances, key=lambda one: one.id) for end in _endpoints(draft, one)])
    desired = draft.desired
    routes = AppRoutes(
        app=desired.app,
        hosts=desired.hosts,
        endpoints=tuple(endpoints),
        situation=AppSituation.ASLEEP if draft.asleep is not None else _situation(draft, endpoints, WEB),
        policy=desired.policy,
        paths=tuple(replace(path, situation=_situation(draft, endpoints, path.process)) for path in desired.paths),
        canary=_canary(draft, endpoints),
    )
    if draft.candidate is not None and draft.observed.serving == group_of(draft.candidate):
        told = routes == draft.observed.routes
        draft.outcome = Outcome(state=OutcomeState.LIVE if told else OutcomeState.PENDING)
    return routes


def _endpoints(draft: Draft, one: ObservedInstance) -> list[Endpoint]:
    if one.place.process not in draft.desired.public or one.phase is not Phase.RUNNING:
        return []
    # Also while it is being stopped: at its deadline it hears SIGTERM with its connections open, and closes them itself.
    if one.id in draft.gone and one.id not in draft.draining:
        return []
    if one.id in draft.draining:
        return [_endpoint(one, draining=True, canary=draft.was_canary(one.id))] if draft.known_to_router(one.id) else []
    if not healthy(one, draft.now):
        return []
    if one.place.group == draft.serving:
        return [_endpoint(one), *_left_behind(draft, one)]
    if one.id not in draft.condemned and draft.target is not None and one.place.group == group_of(draft.target):
        if draft.moving is Kind.CANARY:
            return [_endpoint(one, canary=True)] if draft.stage is not None and one.place.process == WEB else []
        if draft.moving is Kind.ROLLING:
            return [_endpoint(one)]
    return [_endpoint(one, canary=draft.was_canary(one.id))] if draft.routed(one.id) else []  # until it may leave


def _left_behind(draft: Draft, one: ObservedInstance) -> list[Endpoint]:
    """What a promoted canary still answers on its old side: it is not cut off, but drains like any other."""
    if not draft.was_canary(one.id):
        return []
    stage = draft.observed.stage
    since = draft.now if draft.serving != draft.observed.serving else (stage.since if stage is not None else None)
    release = draft.target
    if since is None or release is None or draft.now - since >= release.drain_seconds:
        return []
    draft.look_at(since + release.drain_seconds)
    return [_endpoint(one, draining=True, canary=True)]


def _endpoint(one: ObservedInstance, *, draining: bool = False, canary: bool = False) -> Endpoint:
    return Endpoint(instance=one.id, address=one.address, port=one.port, draining=draining, process=one.place.process, canary=canary)


def _canary(draft: Draft, endpoints: list[Endpoint]) -> Canary | None:
    if draft.stage is None or draft.moving is not Kind.CANARY or not any(end.canary and not end.draining for end in endpoints):
        return None
    strategy = draft.desired.strategy
    step = min(draft.stage.step, len(strategy.steps) - 1)
    return Canary(percent=strategy.steps[step].percent, token=strategy.token)


def _situation(draft: Draft, endpoints: list[Endpoint], process: str) -> AppSituation:
    """Requests for a process type are held while an instance of it is on its way, and refused with the reason when none is."""
    if any(not end.draining and not end.canary and end.process == process for end in endpoints):
        return AppSituation.SERVING
    if draft.serving is None or draft.target is None:
        return AppSituation.NOT_DEPLOYED
    places = [place for one in staff(draft) for place, _ in one.places() if place.process == process]
    if not places:
        return AppSituation.NO_INSTANCE
    # Where all that should serve waits for its back-off, or boots after one, it will hardly be there in time. A lost one is back sooner.
    crashes = [draft.observed.crashes.get(place) for place in places]
    hopeless = all(found is not None and found.count > backoff.AT_ONCE and not found.lost for found in crashes)
    return AppSituation.CRASHED if hopeless else AppSituation.HOLDING
