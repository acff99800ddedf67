"""What we wrote down about an app: who serves, who is ready or draining, who crashed how often. One file an app.

`Record.noting` is pure: the record after an action. Facts that the node itself knows (is it running?) are not in here.
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
    Bury,
    Condemn,
    Drain,
    FallAsleep,
    Forgive,
    MarkReady,
    Promote,
    Shift,
    TakeBack,
    TakeOut,
    WakeUp,
)
from runtime.converge.observed import Asleep, Crashes, Group, Marks, Place, Stage, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Only ever replaced as a whole."""

    serving: Group | None = None
    marks: Mapping[str, Marks] = field(default_factory=dict)
    crashes: Mapping[Place, Crashes] = field(default_factory=dict)
    verdict: Verdict | None = None
    stage: Stage | None = None
    asleep: Asleep | None = None
    woken_at: float = 0.0

    def noting(self, action: Action) -> Record:
        """The record once `action` is under way; the same one for actions that leave no note."""
        match action:
            case MarkReady() | TakeOut() | TakeBack() | Drain():
                return self._marked(action.instance, **_marks_of(action))
            case Promote():
                record = replace(self, serving=action.group, stage=_promoted(self.stage, action))
                for instance in action.drained:
                    record = record._marked(instance, draining_since=action.at)
                return record
            case Shift():
                return replace(self, stage=Stage(group=action.group, attempt=action.attempt, step=action.step, since=action.at))
            case FallAsleep():
                return replace(self, asleep=Asleep(since=action.at))
            case WakeUp():
                return self.woken(action.at)
            case Condemn():
                crashes = {place: crashes for place, crashes in self.crashes.items() if place.group != action.group}
                verdict = Verdict(
                    release=action.group.release, attempt=action.attempt, reason=action.reason, rolled_back=action.rolled_back
                )
                record = replace(self, crashes=crashes, verdict=verdict)
                for instance in action.instances:
                    record = record._marked(instance, condemned=True)
                return record
            case Bury():
                return self.crashed(action.place, at=action.at, reason=action.reason, instance=action.instance, lost=action.lost)
            case Forgive():
                return replace(self, crashes={place: crashes for place, crashes in self.crashes.items() if place != action.place})
            case _:
                return self

    def crashed(self, place: Place, *, at: float, reason: str, instance: str = "", lost: bool = False) -> Record:
        """One more crash in a place."""
        count = self.crashes[place].count + 1 if place in self.crashes else 1
        crashes = Crashes(count=count, at=at, reason=reason, instance=instance, lost=lost)
        return replace(self, crashes={**self.crashes, place: crashes})

    def woken(self, at: float) -> Record:
        """It sleeps no more."""
        return replace(self, asleep=None, woken_at=at)

    def to_be_asked(self) -> Mapping[str, HealthCheck]:
        """How each instance is asked for its health from now on; nobody is while the app sleeps."""
        lasting = {key: marks.check for key, marks in self.marks.items() if marks.draining_since is None and not marks.condemned}
        return {key: check for key, check in lasting.items() if check is not None} if self.asleep is None else {}

    def refused(self, instance: str, limits: str) -> Record:
        """The kernel did not take these limits for a running instance."""
        return self._marked(instance, refused=limits)

    def of(self, instances: Collection[str]) -> Record:
        """Without notes on instances that are no more: `make down` removes them past us."""
        if self.marks.keys() <= set(instances):
            return self
        return replace(self, marks={key: marks for key, marks in self.marks.items() if key in instances})

    def without(self, instance: str) -> Record:
        """Nothing is left of the instance."""
        return replace(self, marks={key: marks for key, marks in self.marks.items() if key != instance})

    def _marked(self, instance: str, **changes: float | bool | str | HealthCheck | None) -> Record:
        marks = replace(self.marks.get(instance, Marks()), **changes)  # type: ignore[arg-type]  # keys are those of the callers above
        return replace(self, marks={**self.marks, instance: marks})


def load(path: Path) -> Record:
    """The record of an app, or an empty one: without it, running instances are asked again whether they are healthy."""
    try:
        raw = journal.read_json(path)
    except ValueError:  # cut short by a power failure, after which nothing runs anyway
        return Record()
    if raw is None:
        return Record()
    serving, verdict, stage = raw.get("serving"), raw.get("verdict"), raw.get("stage")
    return Record(
        serving=Group(*serving) if serving else None,
        marks={key: _read_marks(marks) for key, marks in raw.get("marks", {}).items()},
        crashes={_place(entry.pop("place")): Crashes(**entry) for entry in raw.get("crashes", [])},
        verdict=Verdict(**verdict) if verdict else None,
        asleep=Asleep(since=raw["asleep"]) if raw.get("asleep") else None,
        woken_at=raw.get("woken_at", 0.0),
        stage=Stage(group=Group(*stage.pop("group")), **stage) if stage else None,
    )


def save(path: Path, record: Record) -> None:
    """Replace the file in one piece; safe against kill -9, which is what happens while instances run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    journal.write_json(
        path,
        {
            "serving": [record.serving.release, record.serving.generation] if record.serving else None,
            "marks": {
                key: {**_fields(marks), "check": to_document(marks.check) if marks.check else None} for key, marks in record.marks.items()
            },
            "crashes": [{"place": _text(place), **_fields(crashes)} for place, crashes in record.crashes.items()],
            "verdict": _fields(record.verdict) if record.verdict else None,
            "asleep": record.asleep.since if record.asleep else None,
            "woken_at": record.woken_at,
            "stage": _stage(record.stage) if record.stage else None,
        },
        durable=False,
    )


def _marks_of(action: MarkReady | TakeOut | TakeBack | Drain) -> dict[str, float | HealthCheck | None]:
    match action:
        case MarkReady():
            return {"ready_at": action.at, "check": action.check}
        case TakeOut():
            return {"failing_since": action.at}
        case TakeBack():
            return {"failing_since": None}
        case Drain():
            return {"draining_since": action.at}


def _read_marks(raw: dict[str, Any]) -> Marks:
    check = raw.pop("check", None)
    return Marks(**raw, check=from_document(check) if check else None)


def _fields(value: Marks | Crashes | Verdict) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _stage(stage: Stage) -> dict[str, object]:
    return {"group": [stage.group.release, stage.group.generation], "attempt": stage.attempt, "step": stage.step, "since": stage.since}


def _promoted(stage: Stage | None, action: Promote) -> Stage | None:
    """A canary that has it all: its old share's connections still drain, from now on."""
    if stage is None or stage.group != action.group:
        return None
    return replace(stage, step=stage.step + 1, since=action.at)


def _text(place: Place) -> str:
    return f"{place.group.release}/{place.group.generation}/{place.process}/{place.number}"


def _place(text: str) -> Place:
    release, generation, process, number = text.split("/")
    return Place(Group(int(release), int(generation)), process, int(number))
