"""The stored state of an app: the serving group, ready and draining instances, crashes.

One file per app.

`AppState.noting` is pure: it returns the state after an action.
Facts that the node itself knows, such as whether a container runs, are not stored here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runtime import journal
from runtime.contract.health import HealthCheck, from_document, to_document
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

    def to_be_asked(self) -> Mapping[str, HealthCheck]:
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


def load(path: Path) -> AppState:
    """Return the stored state of an app, or an empty one.

    Without it, running instances are checked again.
    """
    try:
        raw = journal.read_json(path)
    except ValueError:  # cut short by a power failure, after which nothing runs anyway
        return AppState()
    if raw is None:
        return AppState()
    serving, verdict, stage = raw.get("serving"), raw.get("verdict"), raw.get("stage")
    return AppState(
        serving=Group(*serving) if serving else None,
        marks={key: _read_marks(marks) for key, marks in raw.get("marks", {}).items()},
        crashes={_slot(entry.pop("place")): Crashes(**entry) for entry in raw.get("crashes", [])},
        verdict=FailedAttempt(**verdict) if verdict else None,
        asleep=Asleep(since=raw["asleep"]) if raw.get("asleep") else None,
        woken_at=raw.get("woken_at", 0.0),
        stage=CanaryStage(group=Group(*stage.pop("group")), **stage) if stage else None,
    )


def save(path: Path, state: AppState) -> None:
    """Replace the file atomically.

    Safe against kill -9, but not flushed to disk: after a power failure no instance runs anyway.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    journal.write_json(
        path,
        {
            "serving": [state.serving.release, state.serving.generation] if state.serving else None,
            "marks": {
                key: {**_fields(marks), "check": to_document(marks.check) if marks.check else None}
                for key, marks in state.marks.items()
            },
            "crashes": [
                {"place": _text(slot), **_fields(crashes)}  # the key of earlier versions too
                for slot, crashes in state.crashes.items()
            ],
            "verdict": _fields(state.verdict) if state.verdict else None,
            "asleep": state.asleep.since if state.asleep else None,
            "woken_at": state.woken_at,
            "stage": _stage(state.stage) if state.stage else None,
        },
        durable=False,
    )


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


def _read_marks(raw: dict[str, Any]) -> InstanceState:
    check = raw.pop("check", None)
    return InstanceState(**raw, check=from_document(check) if check else None)


def _fields(value: InstanceState | Crashes | FailedAttempt) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _stage(stage: CanaryStage) -> dict[str, object]:
    return {
        "group": [stage.group.release, stage.group.generation],
        "attempt": stage.attempt,
        "step": stage.step,
        "since": stage.since,
    }


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
