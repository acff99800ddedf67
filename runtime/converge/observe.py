"""Reads what runs of an app: containers, their health, the record, the router. Changes nothing, decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from runtime.containers.container import Container, Status, Usage
from runtime.contract.health import CheckKind, HealthCheck
from runtime.converge import container_spec, explain
from runtime.converge.app_state import AppState
from runtime.converge.canary_analysis import GroupTraffic
from runtime.converge.desired import DesiredApp, DesiredRelease
from runtime.converge.observed import Group, InstanceState, ObservedApp, ObservedInstance, Phase, ProbeResult, Slot
from runtime.converge.probe import Prober
from runtime.converge.request_counts import Requests
from runtime.errors import RuntimeFailure
from runtime.router.routes import AppRoutes

COMMAND_EVERY = 1.0  # seconds between two health commands in an instance that starts
REMEMBERED = 500  # instances
EVIDENCE_AFTER = 3.0  # seconds; an instance that boots as usual needs no explaining
_PHASES = {Status.CREATED: Phase.CREATED, Status.RUNNING: Phase.RUNNING, Status.EXITED: Phase.EXITED, Status.BROKEN: Phase.LOST}


class ContainersToLookAt(Protocol):
    """What observing needs of `runtime.containers.lifecycle.Containers`."""

    def state(self, id: str) -> Container | None: ...
    def usage(self, id: str) -> Usage | None: ...
    def is_frozen(self, id: str) -> bool: ...
    def listening(self, id: str) -> list[tuple[str, int]]: ...


class RouterToLookAt(Protocol):
    """What observing needs of `runtime.router.router.Router`."""

    def route(self, app: str) -> AppRoutes | None: ...
    def connections(self, app: str, instance: str) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """The senses of the converging process; each can be another in a test."""

    folder: Path  # of instances, one subfolder each
    containers: ContainersToLookAt
    router: RouterToLookAt
    last_lines: Callable[[str], list[str]]  # of an instance's output
    asker: Prober
    asked: dict[str, tuple[float, explain.ProbeAnswer]] = field(
        default_factory=dict
    )  # commands, which cost more than a request, by instance
    requests: Callable[[str], Requests | None] = lambda _: None  # of an app
    pulses: Callable[[str], Mapping[str, ProbeResult]] = lambda _: {}  # of an app's instances that fail

    def observe(self, desired: DesiredApp, record: AppState, now: float) -> ObservedApp:
        """One app as it is now. `desired` says how to ask for health, and no more."""
        found = [(container, place) for container, place in self._containers(desired.app)]
        answers = self._answers(desired, found, record, now)
        pulses = self.pulses(desired.app)
        return ObservedApp(
            app=desired.app,
            instances=tuple(self._instance(desired, record, container, place, answers, pulses, now) for container, place in found),
            serving=record.serving,
            crashes=record.crashes,
            verdict=record.verdict,
            stage=record.stage,
            traffic=self._traffic(desired, record),
            asleep=record.asleep,
            woken_at=record.woken_at,
            active_at=self._active_at(desired, record, now),
            routes=self.router.route(desired.app),
        )

    def _traffic(self, desired: DesiredApp, record: AppState) -> Mapping[Group, GroupTraffic]:
        """Only of a canary's step that is under way: what was counted before says nothing about it."""
        requests = self.requests(desired.app) if record.stage is not None and desired.candidate is not None else None
        return requests.groups if requests is not None else {}

    def _is_idle(self, desired: DesiredApp, record: AppState, now: float) -> bool:
        """It may fall asleep, or has: then what is open counts."""
        if desired.sleep is None or record.asleep is not None:
            return record.asleep is not None
        active = self._active_at(desired, record, now)
        return active is not None and now - active >= desired.sleep.after

    def _active_at(self, desired: DesiredApp, record: AppState, now: float) -> float | None:
        requests = self.requests(desired.app) if desired.sleep is not None else None
        if requests is None or desired.sleep is None:
            return None
        active = max(requests.counted_since, requests.last_at, record.woken_at)
        # Looked at only when it decides: a run that has just ended leaves the app idle for as long as the visitors did.
        return now if desired.sleep.jobs_count and now - active >= desired.sleep.after and self._has_run(desired.app) else active

    def _has_run(self, app: str) -> bool:
        found = (self.containers.state(folder.name) for folder in self.folder.glob(f"{app}-*"))
        return any(
            one is not None and one.spec.app == app and one.spec.labels.get("kind") == container_spec.RUN and one.status is Status.RUNNING
            for one in found
        )

    def _containers(self, app: str) -> Iterator[tuple[Container, Slot]]:
        """By the names of their folders: cheaper than a look at every container of the node."""
        for folder in sorted(self.folder.glob(f"{app}-*")):
            container = self.containers.state(folder.name)
            if container is None or container.spec.app != app:
                continue
            place = container_spec.slot_of(container)
            if place is not None:
                yield container, place

    def _answers(
        self, desired: DesiredApp, found: list[tuple[Container, Slot]], record: AppState, now: float
    ) -> Mapping[str, explain.ProbeAnswer]:
        public = [container for container, place in found if place.process in desired.public]
        unready = [container for container in public if _is_to_be_asked(container, record.marks.get(container.id))]
        if not unready:
            return {}

        def one(container: Container) -> explain.ProbeAnswer:
            return self._check(desired, container, now)

        if len(unready) == 1:
            return {unready[0].id: one(unready[0])}
        with ThreadPoolExecutor(max_workers=8) as pool:
            return dict(zip((container.id for container in unready), pool.map(one, unready), strict=True))

    def _check(self, desired: DesiredApp, container: Container, now: float) -> explain.ProbeAnswer:
        """A command once a second at most; in between, what it said last."""
        health = _health(desired, container)
        host = desired.hosts[0] if desired.hosts else desired.app
        if health.kind is not CheckKind.COMMAND:
            return self.asker.check(container, host, health)
        at, last = self.asked.get(container.id, (float("-inf"), explain.ProbeAnswer()))
        if now - at < COMMAND_EVERY:
            return last
        answer = self.asker.check(container, host, health)
        if len(self.asked) > REMEMBERED:
            self.asked.clear()
        self.asked[container.id] = (now, answer)
        return answer

    def _instance(
        self,
        desired: DesiredApp,
        record: AppState,
        container: Container,
        place: Slot,
        answers: Mapping[str, explain.ProbeAnswer],
        pulses: Mapping[str, ProbeResult],
        now: float,
    ) -> ObservedInstance:
        marks = record.marks.get(container.id, InstanceState())
        answer = answers.get(container.id)
        phase = _PHASES[container.status]
        public = place.process in desired.public
        runs = phase is Phase.RUNNING and public
        draining = marks.draining_since is not None and runs
        return ObservedInstance(
            id=container.id,
            place=place,
            phase=phase,
            limits=container.spec.limits,
            public=public,
            address=container.address or "",
            port=int(container.spec.labels["port"]),
            started_at=container.started_at,
            exited_at=container.exit.at if container.exit else None,
            answers=answer is not None and answer.healthy,
            connections=self._connections(desired.app, container.id) if draining or (runs and self._is_idle(desired, record, now)) else 0,
            # Also one that woke and may sleep no more: whoever woke it may have been killed before it was thawed.
            frozen=runs
            and (record.asleep is not None or desired.sleep is not None or record.woken_at > 0)
            and self.containers.is_frozen(container.id),
            evidence=self._evidence(desired, container, answer, now),
            pulse=pulses.get(container.id),
            marks=marks,
        )

    def _connections(self, app: str, id: str) -> int:
        try:
            return self.router.connections(app, id)
        except RuntimeFailure:
            return 1  # not known, so perhaps; the drain's deadline ends it

    def _evidence(self, desired: DesiredApp, container: Container, answer: explain.ProbeAnswer | None, now: float) -> str:
        started = container.started_at
        if container.status is Status.EXITED or container.status is Status.BROKEN:
            lived = container.exit.at - started if container.exit and started is not None else None
            return explain.exited(container.exit, lived=lived, log=self.last_lines(container.id))
        if answer is None or answer.healthy or started is None or now - started < min(EVIDENCE_AFTER, _boot_seconds(desired, container)):
            return ""
        usage = self.containers.usage(container.id)
        seen = explain.ProbeFindings(
            port=int(container.spec.labels["port"]),
            health=_health(desired, container),
            listening=tuple(self.containers.listening(container.id)),
            answer=answer,
            memory=container.spec.limits.memory,
            oom_kills=usage.oom_kills if usage else 0,
            waited=now - started,
        )
        return explain.not_ready(seen, self.last_lines(container.id))


def _is_to_be_asked(container: Container, marks: InstanceState | None) -> bool:
    waits = marks is None or (marks.ready_at is None and not marks.condemned)
    return container.status is Status.RUNNING and container.address is not None and waits


def _release_of(desired: DesiredApp, container: Container) -> DesiredRelease | None:
    number = int(container.spec.labels["release"])
    return next((one for one in (desired.candidate, desired.current) if one is not None and one.number == number), None)


def _health(desired: DesiredApp, container: Container) -> HealthCheck:
    release = _release_of(desired, container)
    return release.health if release is not None else HealthCheck()


def _boot_seconds(desired: DesiredApp, container: Container) -> float:
    release = _release_of(desired, container)
    return release.boot_seconds if release is not None else EVIDENCE_AFTER
