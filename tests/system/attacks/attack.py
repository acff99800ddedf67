"""An attack as a value, its execution while the victim is under load, and the table of results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests import fingerprint
from tests.system.attacks.range import VICTIM, Range
from tests.system.support.footprint import OF_A_TEAM, footprint
from tests.system.support.pace import percentile

# times: a victim's p99 above this fails an attack, if it is also above LATE. The table has the
# figure.
SLOWER = 20.0
LATE = 1500.0  # ms
PATIENCE = 30.0  # seconds until an attack's remains must be gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """An attack.

    `act` does it, asserts that it failed, and returns its outcome in a few words for the table.
    """

    kind: str
    name: str
    holds: str  # the protection that stops it
    act: Callable[[Range], str]
    in_suite: bool = False  # also in `make test`

    @property
    def title(self) -> str:
        """Return the attack's name in docs/security.md."""
        return f"{self.kind}: {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    attack: Attack
    ended: str
    alone: float  # the victim's p99 in ms
    under: float
    failed: int  # of the victim's requests
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        figure = f"{self.alone:.1f} | {self.under:.1f} | {self.under / self.alone:.1f}"
        return (
            f"| {self.attack.kind} | {self.attack.name} | {self.attack.holds} | {self.ended} |"
            f" {figure} |"
        )


HEAD = (
    "| kind | attack | what holds it | how it ended | victim's p99 alone (ms) | under attack (ms) |"
    " ratio |\n|---|---|---|---|---|---|---|"
)


def execute(attack: Attack, place: Range, alone: float) -> Result:
    """Run an attack while the victim is under load.

    Faults are in the result, and nothing is raised.
    """
    host = fingerprint.take(place.config.state)
    before = _of_the_platform(place)
    wrong: list[str] = []
    ended = "it did not end as expected"
    with place.load() as load:
        try:
            ended = attack.act(place)
        except Exception as failure:  # noqa: BLE001  # recorded, and the other attacks still run
            wrong.append(
                f"it succeeded, or ended in another way: {type(failure).__name__}: {failure}"
            )
        time.sleep(0.5)
    failed = [answer for answer in load.answers if answer.failed]
    if failed:
        wrong.append(
            f"{len(failed)} of {len(load.answers)} requests of the victim failed: {failed[0]}"
        )
    under = percentile(load.answers, 99)
    if under > max(LATE, SLOWER * alone):
        wrong.append(f"the victim's p99 rose from {alone:.1f} to {under:.1f} ms")
    wrong += [
        f"on the host, {line}"
        for line in fingerprint.differences(host, fingerprint.take(place.config.state))
    ]
    wrong += [f"left behind: {thing}" for thing in _left(place, before)]
    return Result(
        attack=attack, ended=ended, alone=alone, under=under, failed=len(failed), wrong=tuple(wrong)
    )


def table(results: Iterable[Result]) -> str:
    return "\n".join([HEAD, *map(str, results)])


def _of_the_platform(place: Range) -> set[str]:
    """Return all objects of this platform except instances.

    An attack may kill instances, and others replace them.
    """
    names = place.instances()
    marks = {name for name in names if not name.startswith(VICTIM)}
    own_marks = (place.config.name, str(place.config.state), str(place.config.run))
    found = {
        thing for thing in footprint(place.config.name) if any(mark in thing for mark in own_marks)
    }
    things = {
        thing for thing in found if not thing.startswith(("process ", "link ", "loop device "))
    }
    folders = (
        place.config.workspaces,
        place.config.images / "ingest",
        place.config.layers / "ingest",
    )
    things |= {
        f"entry {path}" for folder in folders if folder.is_dir() for path in folder.iterdir()
    }
    return {
        thing
        for thing in things
        if not OF_A_TEAM.search(thing) and not any(mark in thing for mark in marks)
    }


def _left(place: Range, before: set[str]) -> list[str]:
    deadline = time.monotonic() + PATIENCE
    while (left := _of_the_platform(place) - before) and time.monotonic() < deadline:
        time.sleep(0.3)
    return sorted(left)
