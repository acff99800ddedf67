"""Tests of the count of restarts: a crash counts once, an instance that the platform stops does
not."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

from runtime.containers.container import Container
from runtime.converge.container_spec import INSTANCE, RUN
from runtime.converge.observed import Crashes, Group, Slot
from workers.supervisor.restart_counts import WAIT, RestartCounts

SLOT = Slot(Group(3, 1), "web", 0)


@dataclass(kw_only=True)
class Node:
    """The recorded crashes of app `a`, and a clock."""

    crashes: dict[Slot, Crashes] = field(default_factory=dict)
    now: float = 1000.0

    def counts(self) -> RestartCounts:
        return RestartCounts(lambda _app: self.crashes, clock=lambda: self.now)

    def crash(self, instance: str, *, at: float | None = None) -> None:
        self.crashes[SLOT] = Crashes(
            count=1, at=self.now if at is None else at, reason="It ended.", instance=instance
        )


def ended(number: int, *, kind: str = INSTANCE) -> Container:
    labels = {"kind": kind, "process": "web", "release": "3", "generation": "1", "place": "0"}
    return SimpleNamespace(id=f"a-web-{number}", spec=SimpleNamespace(app="a", labels=labels))  # type: ignore[return-value]  # the parts that are read


def test_a_crash_counts_once_however_often_its_end_is_reported() -> None:
    node = Node()
    counts = node.counts()
    counts.ended(ended(1))
    counts.round()
    assert counts.take() == {}, "it is not yet known if the platform stopped it"
    node.crash("a-web-1")
    found = []
    for _ in range(60):
        counts.round()
        found.append(counts.take())
        counts.ended(ended(1))
        node.now += 3
    assert found == [{"a": {"web.1": 1}}] + [{}] * 59


def test_an_instance_that_the_platform_stops_does_not_count() -> None:
    node = Node()
    node.crash("a-web-1", at=900.0)  # an earlier crash in the same slot
    counts = node.counts()
    counts.ended(ended(2))
    counts.ended(ended(7, kind=RUN))
    node.now += WAIT + 1
    counts.round()
    node.crash("a-web-9")
    counts.round()
    assert counts.take() == {}


def test_two_quick_crashes_in_one_slot_count_both() -> None:
    node = Node()
    counts = node.counts()
    counts.ended(ended(1))
    node.now += 0.5
    counts.ended(ended(2))
    node.crash("a-web-2")  # replaces the record of the first
    counts.round()
    assert counts.take() == {"a": {"web.1": 1, "web.2": 1}}
