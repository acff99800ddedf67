"""The steps of a deploy, each with its start time and duration."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal.releases.models import Rollout, RolloutState

Moment = tuple[str, datetime]
_RELEASE = re.compile(r"v\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineStep:
    """A step of the timeline. `took` is the time until the next step, None for the last one."""

    text: str
    at: datetime
    took: timedelta | None


def moments_of(rollout: Rollout) -> list[Moment]:
    """Return the recorded steps, and the end. Only steps that follow a live release, such as its
    post-deploy script, come later."""
    moments = [
        (
            _sentence_case(step["text"], rollout.release.processes),
            datetime.fromisoformat(step["at"]),
        )
        for step in rollout.steps
    ]
    if rollout.finished_at is not None:
        moments.append(
            (
                f"v{rollout.release.number} {RolloutState(rollout.state).label.lower()}",
                rollout.finished_at,
            )
        )
    return sorted(moments, key=lambda moment: moment[1])


def steps_of(moments: Sequence[Moment]) -> list[TimelineStep]:
    """Convert moments to steps."""
    ends = [at for _, at in moments[1:]]
    return (
        [
            TimelineStep(text=text, at=at, took=end - at if end else None)
            for (text, at), end in zip(moments, [*ends, None], strict=True)
        ]
        if moments
        else []
    )


def _sentence_case(text: str, names: Container[str]) -> str:
    """Capitalise the first letter, except if the text begins with the name of a process type or of
    a release."""
    first = text.split(" ", 1)[0]
    return text if first in names or _RELEASE.fullmatch(first) else text[:1].upper() + text[1:]
