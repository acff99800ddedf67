"""Stretches of failed requests, each with the kills that may have caused it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.system.support.pace import Answer
from tests.system.support.victims import Killed

APART = 2.0  # seconds between failed requests of one app that belong to two stretches
BEFORE = 15.0  # seconds before a stretch in which a kill may be its cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Failed requests of an app with the same status, shortly after each other."""

    host: str
    status: int
    times: list[float]

    def describe(self, kills: list[Killed]) -> str:
        begun, lasted = self.times[0], self.times[-1] - self.times[0]
        near = [killed for killed in kills if begun - BEFORE <= killed.at <= self.times[-1]]
        causes = ", ".join(
            f"{killed.part} {killed.at - begun:+.1f} s"
            for killed in sorted(near, key=lambda killed: killed.at)
        )
        return (
            f"{len(self.times)} requests of {self.host} answered {self.status} during {lasted:.1f}"
            f" s; killed: {causes or 'nothing'}"
        )


def stretches(failed: Iterable[Answer]) -> list[Stretch]:
    """Group failed requests by app, status and time; the earliest stretch first."""
    found: list[Stretch] = []
    for answer in sorted(failed, key=lambda answer: (answer.host, answer.status, answer.at)):
        last = found[-1] if found else None
        if (
            last is not None
            and (last.host, last.status) == (answer.host, answer.status)
            and answer.at - last.times[-1] <= APART
        ):
            last.times.append(answer.at)
        else:
            found.append(Stretch(host=answer.host, status=answer.status, times=[answer.at]))
    return sorted(found, key=lambda stretch: stretch.times[0])
