"""Tests of the requests and memory kills that a canary is compared by."""

from __future__ import annotations

from collections import Counter

from runtime.converge.observed import Group, Slot
from runtime.router.access_log.metrics import Tally
from workers.supervisor.router_events import traffic_of_groups

OLD, NEW = Group(1, 0), Group(2, 0)


def test_requests_and_kills_are_summed_by_group() -> None:
    found = traffic_of_groups(
        [
            (Slot(OLD, "web", 1), _tally(requests=10, failed=1), 0),
            (Slot(OLD, "web", 2), _tally(requests=20, failed=0), 1),
            (Slot(NEW, "web", 1), _tally(requests=5, failed=5), 2),
        ]
    )
    assert (
        found[OLD].requests,
        found[OLD].failed,
        found[OLD].memory_kills,
        found[OLD].instances,
    ) == (30, 1, 1, 2)
    assert (found[NEW].requests, found[NEW].failed, found[NEW].memory_kills) == (5, 5, 2)


def test_a_killed_worker_of_the_old_release_does_not_excuse_a_canary() -> None:
    found = traffic_of_groups(
        [
            (Slot(OLD, "web", 1), Tally(), 0),
            (Slot(OLD, "worker", 1), Tally(), 3),
            (Slot(NEW, "web", 1), Tally(), 1),
        ]
    )
    assert (found[OLD].memory_kills, found[NEW].memory_kills) == (0, 1)


def _tally(*, requests: int, failed: int) -> Tally:
    return Tally(classes=Counter({"2xx": requests - failed, "5xx": failed}))
