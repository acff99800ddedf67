"""The stored state of an app: the serving group, ready and draining instances, crashes.

One file per app.

`AppState.noting` is pure: it returns the state after an action.
Facts that the node itself knows, such as whether a container runs, are not stored here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from runtime import journal
from runtime.contract.health import HealthCheck, to_document
from runtime.contract.json_values import from_json, to_json
from runtime.converge.actions import (
    Action,
    DrainInstance,
    FailCandidate,
    MarkReady,
    PromoteGroup,
    PutToSleep,
    RecordCrash,
    ResetBackoff,
    ReturnToRotation,
    SetCanaryWeight,
    TakeOutOfRotation,
    WakeApp,
)
from runtime.converge.observed import (
    Asleep,
    CanaryStage,
    Crashes,
    FailedAttempt,
    Group,
    InstanceState,
    Slot,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """The stored state of one app. A change replaces the whole file."""

    serving: Group | None = None
    marks: Mapping[str, InstanceState] = field(default_factory=dict)
    crashes: Mapping[Slot, Crashes] = field(default_factory=dict)
    verdict: FailedAttempt | None = None
    stage: CanaryStage | None = None
    asleep: Asleep | None = None
    woken_at: float = 0.0

    def noting(self, action: Action) -> AppState:
        """Return the state after `action` has begun.

        Actions that store nothing return the same state.
        """
        match action:
            case MarkReady() | TakeOutOfRotation() | ReturnToRotation() | DrainInstance():
                return self._marked(action.instance, **_marks_of(action))
            case PromoteGroup():
                state = replace(self, serving=action.group, stage=_promoted(self.stage, action))
                for instance in action.drained:
                    state = state._marked(instance, draining_since=action.at)
                return state
            case SetCanaryWeight():
                return replace(
                    self,
                    stage=CanaryStage(
                        group=action.group,
                        attempt=action.attempt,
                        step=action.step,
                        since=action.at,
                    ),
                )
            case PutToSleep():
                return replace(self, asleep=Asleep(since=action.at))
            case WakeApp():
                return self.woken(action.at)
            case FailCandidate():
                crashes = {
                    slot: crashes
                    for slot, crashes in self.crashes.items()
                    if slot.group != action.group
                }
                verdict = FailedAttempt(
                    release=action.group.release,
                    attempt=action.attempt,
                    reason=action.reason,
                    rolled_back=action.rolled_back,
                )
                state = replace(self, crashes=crashes, verdict=verdict)
                for instance in action.instances:
                    state = state._marked(instance, condemned=True)
                return state
            case RecordCrash():
                return self.crashed(
                    action.slot,
                    at=action.at,
                    reason=action.reason,
                    instance=action.instance,
                    lost=action.lost,
                )
            case ResetBackoff():
                return replace(
                    self,
                    crashes={
                        slot: crashes
                        for slot, crashes in self.crashes.items()
                        if slot != action.slot
                    },
                )
            case _:
                return self

    def crashed(
        self, slot: Slot, *, at: float, reason: str, instance: str = "", lost: bool = False
    ) -> AppState:
        """Return the state with one more crash in a slot."""
        count = self.crashes[slot].count + 1 if slot in self.crashes else 1
        crashes = Crashes(count=count, at=at, reason=reason, instance=instance, lost=lost)
        return replace(self, crashes={**self.crashes, slot: crashes})

    def woken(self, at: float) -> AppState:
        """Return the state of an app that no longer sleeps."""
        return replace(self, asleep=None, woken_at=at)

    def checks_to_run(self) -> Mapping[str, HealthCheck]:
        """Return the health checks to repeat, by instance. Empty while the app sleeps."""
        lasting = {
            key: marks.check
            for key, marks in self.marks.items()
            if marks.draining_since is None and not marks.condemned
        }
        return (
            {key: check for key, check in lasting.items() if check is not None}
            if self.asleep is None
            else {}
        )

    def refused(self, instance: str, limits: str) -> AppState:
        """Record that the kernel refused these limits for a running instance."""
        return self._marked(instance, refused=limits)

    def of(self, instances: Collection[str]) -> AppState:
        """Drop the state of removed instances: `make down` removes them without this module."""
        if self.marks.keys() <= set(instances):
            return self
        return replace(
            self, marks={key: marks for key, marks in self.marks.items() if key in instances}
        )

    def without(self, instance: str) -> AppState:
        """Return the state without the instance."""
        return replace(
            self, marks={key: marks for key, marks in self.marks.items() if key != instance}
        )

    def _marked(
        self, instance: str, **changes: float | bool | str | HealthCheck | None
    ) -> AppState:
        marks = replace(self.marks.get(instance, InstanceState()), **changes)  # type: ignore[arg-type]  # keys: see the callers
        return replace(self, marks={**self.marks, instance: marks})


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredCrashes(Crashes):
    place: str  # release/generation/process/number; the key of earlier versions too


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredStage:
    group: tuple[int, int]  # release and generation
    attempt: str
    step: int
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """The content of the file."""

    serving: tuple[int, int] | None = None  # release and generation
    marks: Mapping[str, InstanceState] = field(default_factory=dict)
    crashes: tuple[_StoredCrashes, ...] = ()
    verdict: FailedAttempt | None = None
    asleep: float | None = None
    woken_at: float = 0.0
    stage: _StoredStage | None = None


def load(path: Path) -> AppState:
    """Return the stored state of an app, or an empty one.

    Without it, running instances are checked again. Raise ValueError if the file has other fields.
    """
    try:
        raw = journal.read_json(path)
    except ValueError:  # cut short by a power failure, after which nothing runs anyway
        return AppState()
    stored = from_json(raw, _Stored) if raw is not None else _Stored()
    return AppState(
        serving=Group(*stored.serving) if stored.serving else None,
        marks=stored.marks,
        crashes={_slot(crashes.place): _crashes(crashes) for crashes in stored.crashes},
        verdict=stored.verdict,
        asleep=Asleep(since=stored.asleep) if stored.asleep else None,
        woken_at=stored.woken_at,
        stage=_stage(stored.stage) if stored.stage else None,
    )


def save(path: Path, state: AppState) -> None:
    """Replace the file atomically.

    Safe against kill -9, but not flushed to disk: after a power failure no instance runs anyway.
    """
    stored = _Stored(
        serving=_pair(state.serving) if state.serving else None,
        crashes=tuple(
            _StoredCrashes(place=_text(slot), **to_json(crashes))
            for slot, crashes in state.crashes.items()
        ),
        verdict=state.verdict,
        asleep=state.asleep.since if state.asleep else None,
        woken_at=state.woken_at,
        stage=_StoredStage(
            group=_pair(state.stage.group),
            attempt=state.stage.attempt,
            step=state.stage.step,
            since=state.stage.since,
        )
        if state.stage
        else None,
    )
    marks = {
        key: {**to_json(marks), "check": to_document(marks.check) if marks.check else None}
        for key, marks in state.marks.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    journal.write_json(path, {**to_json(stored), "marks": marks}, durable=False)


def _marks_of(
    action: MarkReady | TakeOutOfRotation | ReturnToRotation | DrainInstance,
) -> dict[str, float | HealthCheck | None]:
    match action:
        case MarkReady():
            return {"ready_at": action.at, "check": action.check}
        case TakeOutOfRotation():
            return {"failing_since": action.at}
        case ReturnToRotation():
            return {"failing_since": None}
        case DrainInstance():
            return {"draining_since": action.at}


def _crashes(stored: _StoredCrashes) -> Crashes:
    return Crashes(
        count=stored.count,
        at=stored.at,
        reason=stored.reason,
        instance=stored.instance,
        lost=stored.lost,
    )


def _stage(stored: _StoredStage) -> CanaryStage:
    return CanaryStage(
        group=Group(*stored.group),
        attempt=stored.attempt,
        step=stored.step,
        since=stored.since,
    )


def _pair(group: Group) -> tuple[int, int]:
    return (group.release, group.generation)


def _promoted(stage: CanaryStage | None, action: PromoteGroup) -> CanaryStage | None:
    """Return the stage of a canary that gets all requests.

    Its old share's connections drain from now on.
    """
    if stage is None or stage.group != action.group:
        return None
    return replace(stage, step=stage.step + 1, since=action.at)


def _text(slot: Slot) -> str:
    return f"{slot.group.release}/{slot.group.generation}/{slot.process}/{slot.number}"


def _slot(text: str) -> Slot:
    release, generation, process, number = text.split("/")
    return Slot(Group(int(release), int(generation)), process, int(number))
