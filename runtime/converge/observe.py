"""The observation of one app: its containers, their health, its stored state, the router.

It changes nothing and decides nothing.
"""

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
from runtime.converge.observed import (
    Group,
    InstanceState,
    ObservedApp,
    ObservedInstance,
    Phase,
    ProbeResult,
    Slot,
)
from runtime.converge.probing.probe import Prober
from runtime.converge.request_counts import Requests
from runtime.errors import RuntimeFailure
from runtime.router.routes import AppRoutes

COMMAND_EVERY = 1.0  # seconds between two health commands in an instance that starts
REMEMBERED = 500  # instances whose last answer is kept
EVIDENCE_AFTER = 2.0  # seconds; an instance that boots normally needs no explanation
_PHASES = {
    Status.CREATED: Phase.CREATED,
    Status.RUNNING: Phase.RUNNING,
    Status.EXITED: Phase.EXITED,
    Status.BROKEN: Phase.LOST,
}


class ContainersToLookAt(Protocol):
    """The methods of `runtime.containers.lifecycle.Containers` that `Observer` uses."""

    def state(self, id: str) -> Container | None: ...
    def usage(self, id: str) -> Usage | None: ...
    def is_frozen(self, id: str) -> bool: ...
    def listening(self, id: str) -> list[tuple[str, int]]: ...


class RouterToLookAt(Protocol):
    """The methods of `runtime.router.router.Router` that `Observer` uses."""

    def route(self, app: str) -> AppRoutes | None: ...
    def connections(self, app: str, instance: str) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """The dependencies of observing an app; tests pass others."""

    folder: Path  # of instances, one subfolder each
    containers: ContainersToLookAt
    router: RouterToLookAt
    last_lines: Callable[[str], list[str]]  # of an instance's output
    prober: Prober
    # The last answers of health commands, which cost more than a request: by instance, with their
    # time.
    asked: dict[str, tuple[float, explain.ProbeAnswer]] = field(default_factory=dict)
    requests: Callable[[str], Requests | None] = lambda _: None  # of an app
    # Of an app's failing instances.
    pulses: Callable[[str], Mapping[str, ProbeResult]] = lambda _: {}

    def observe(self, desired: DesiredApp, state: AppState, now: float) -> ObservedApp:
        """Return the present state of one app.

        `desired` only supplies the health checks and settings.
        """
        found = [(container, slot) for container, slot in self._containers(desired.app)]
        answers = self._answers(desired, found, state, now)
        pulses = self.pulses(desired.app)
        return ObservedApp(
            app=desired.app,
            instances=tuple(
                self._instance(desired, state, container, slot, answers, pulses, now)
                for container, slot in found
            ),
            serving=state.serving,
            crashes=state.crashes,
            verdict=state.verdict,
            stage=state.stage,
            traffic=self._traffic(desired, state),
            asleep=state.asleep,
            woken_at=state.woken_at,
            active_at=self._active_at(desired, state, now),
            routes=self.router.route(desired.app),
        )

    def _traffic(self, desired: DesiredApp, state: AppState) -> Mapping[Group, GroupTraffic]:
        """Return the counts of a canary's current step, or {}: earlier counts do not matter."""
        requests = (
            self.requests(desired.app)
            if state.stage is not None and desired.candidate is not None
            else None
        )
        return requests.groups if requests is not None else {}

    def _is_idle(self, desired: DesiredApp, state: AppState, now: float) -> bool:
        """Return whether the app sleeps or may fall asleep: then its open connections matter."""
        if desired.sleep is None or state.asleep is not None:
            return state.asleep is not None
        active = self._active_at(desired, state, now)
        return active is not None and now - active >= desired.sleep.after

    def _active_at(self, desired: DesiredApp, state: AppState, now: float) -> float | None:
        requests = self.requests(desired.app) if desired.sleep is not None else None
        if requests is None or desired.sleep is None:
            return None
        active = max(requests.counted_since, requests.last_at, state.woken_at)
        # Runs are read only when the time without requests is over. A run that has just ended does
        # not start that time again.
        return (
            now
            if desired.sleep.jobs_keep_awake
            and now - active >= desired.sleep.after
            and self._has_run(desired.app)
            else active
        )

    def _has_run(self, app: str) -> bool:
        found = (self.containers.state(folder.name) for folder in self.folder.glob(f"{app}-*"))
        return any(
            container is not None
            and container.spec.app == app
            and container.spec.labels.get("kind") == container_spec.RUN
            and container.status is Status.RUNNING
            for container in found
        )

    def _containers(self, app: str) -> Iterator[tuple[Container, Slot]]:
        """Yield the app's instances by the names of folders: faster than reading all containers."""
        for folder in sorted(self.folder.glob(f"{app}-*")):
            container = self.containers.state(folder.name)
            if container is None or container.spec.app != app:
                continue
            slot = container_spec.slot_of(container)
            if slot is not None:
                yield container, slot

    def _answers(
        self, desired: DesiredApp, found: list[tuple[Container, Slot]], state: AppState, now: float
    ) -> Mapping[str, explain.ProbeAnswer]:
        public = [container for container, slot in found if slot.process in desired.public]
        unready = [
            container
            for container in public
            if _is_to_be_asked(container, state.marks.get(container.id))
        ]
        if not unready:
            return {}

        def check(container: Container) -> explain.ProbeAnswer:
            return self._check(desired, container, now)

        if len(unready) == 1:
            return {unready[0].id: check(unready[0])}
        with ThreadPoolExecutor(max_workers=8) as pool:
            return dict(
                zip((container.id for container in unready), pool.map(check, unready), strict=True)
            )

    def _check(self, desired: DesiredApp, container: Container, now: float) -> explain.ProbeAnswer:
        """Check an instance.

        A command runs once per `COMMAND_EVERY`; until then its last answer is used.
        """
        health = _health(desired, container)
        host = desired.hosts[0] if desired.hosts else desired.app
        if health.kind is not CheckKind.COMMAND:
            return self.prober.check(container, host, health)
        at, last = self.asked.get(container.id, (float("-inf"), explain.ProbeAnswer()))
        if now - at < COMMAND_EVERY:
            return last
        answer = self.prober.check(container, host, health)
        if len(self.asked) > REMEMBERED:
            self.asked.clear()
        self.asked[container.id] = (now, answer)
        return answer

    def _instance(
        self,
        desired: DesiredApp,
        state: AppState,
        container: Container,
        slot: Slot,
        answers: Mapping[str, explain.ProbeAnswer],
        pulses: Mapping[str, ProbeResult],
        now: float,
    ) -> ObservedInstance:
        marks = state.marks.get(container.id, InstanceState())
        answer = answers.get(container.id)
        phase = _PHASES[container.status]
        public = slot.process in desired.public
        runs = phase is Phase.RUNNING and public
        draining = marks.draining_since is not None and runs
        seen = self._findings(desired, container, answer, now)
        if seen is not None:
            evidence = explain.not_ready(seen, self.last_lines(container.id))
        else:
            evidence = self._why_it_ended(container)
        return ObservedInstance(
            id=container.id,
            slot=slot,
            phase=phase,
            limits=container.spec.limits,
            public=public,
            address=container.address or "",
            port=int(container.spec.labels["port"]),
            started_at=container.started_at,
            exited_at=container.exit.at if container.exit else None,
            answers=answer is not None and answer.healthy,
            connections=(
                self._connections(desired.app, container.id)
                if draining or (runs and self._is_idle(desired, state, now))
                else 0
            ),
            # Also read for an awake app that may no longer sleep: the process that woke it may have
            # been killed before it thawed the instances.
            frozen=runs
            and (state.asleep is not None or desired.sleep is not None or state.woken_at > 0)
            and self.containers.is_frozen(container.id),
            evidence=evidence,
            early_finding=explain.early_finding(seen) if seen is not None else "",
            pulse=pulses.get(container.id),
            marks=marks,
        )

    def _connections(self, app: str, id: str) -> int:
        try:
            return self.router.connections(app, id)
        except RuntimeFailure:
            return 1  # unknown, so assume one; the drain's deadline ends the wait

    def _why_it_ended(self, container: Container) -> str:
        """Return why the instance ended, or "" if it runs."""
        if container.status not in (Status.EXITED, Status.BROKEN):
            return ""
        end, started = container.exit, container.started_at
        lived = end.at - started if end and started is not None else None
        return explain.exited(end, lived=lived, log=self.last_lines(container.id))

    def _findings(
        self,
        desired: DesiredApp,
        container: Container,
        answer: explain.ProbeAnswer | None,
        now: float,
    ) -> explain.ProbeFindings | None:
        """Return the findings about an instance that boots longer than usual, or None."""
        started = container.started_at
        if (
            container.status in (Status.EXITED, Status.BROKEN)
            or answer is None
            or answer.healthy
            or started is None
            or now - started < min(EVIDENCE_AFTER, _boot_seconds(desired, container))
        ):
            return None
        usage = self.containers.usage(container.id)
        return explain.ProbeFindings(
            port=int(container.spec.labels["port"]),
            health=_health(desired, container),
            listening=tuple(self.containers.listening(container.id)),
            answer=answer,
            memory=container.spec.limits.memory,
            oom_kills=usage.oom_kills if usage else 0,
            waited=now - started,
        )


def _is_to_be_asked(container: Container, marks: InstanceState | None) -> bool:
    waits = marks is None or (marks.ready_at is None and not marks.condemned)
    return container.status is Status.RUNNING and container.address is not None and waits


def _release_of(desired: DesiredApp, container: Container) -> DesiredRelease | None:
    number = int(container.spec.labels["release"])
    return next(
        (
            release
            for release in (desired.candidate, desired.current)
            if release is not None and release.number == number
        ),
        None,
    )


def _health(desired: DesiredApp, container: Container) -> HealthCheck:
    release = _release_of(desired, container)
    return release.health if release is not None else HealthCheck()


def _boot_seconds(desired: DesiredApp, container: Container) -> float:
    release = _release_of(desired, container)
    return release.boot_seconds if release is not None else EVIDENCE_AFTER
