"""Whose build comes next: teams take turns, and within a team the oldest goes first.

One order for all: workers begin builds in it, and people are told their place in it.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable

from portal.builds.models import Build, BuildState


def order(waiting: Iterable[tuple[int, int]], running: Iterable[int]) -> list[int]:
    """Builds as they will begin. `waiting` is (build, team) of each that is queued, `running` the team of each that is under way.

    The team with the fewest builds under way comes next, and of several such the one whose oldest build waits longest; so who
    queues a hundred builds holds up their own.
    """
    of_team: dict[int, deque[int]] = {}
    for build, team in sorted(waiting):
        of_team.setdefault(team, deque()).append(build)
    begun = Counter(running)
    heap = [(begun[team], builds[0], team) for team, builds in of_team.items()]
    heapq.heapify(heap)
    found = []
    while heap:
        under_way, build, team = heapq.heappop(heap)
        found.append(build)
        of_team[team].popleft()
        if of_team[team]:
            heapq.heappush(heap, (under_way + 1, of_team[team][0], team))
    return found


def queue() -> list[int]:
    """All queued builds in their order now."""
    waiting = Build.objects.filter(state=BuildState.QUEUED).values_list("pk", "app__team")
    return order(waiting, Build.objects.filter(state=BuildState.BUILDING).values_list("app__team", flat=True))


def position_of(build: Build) -> int | None:
    """Its place in the queue, from 1; None when it does not wait (any more)."""
    if build.state != BuildState.QUEUED:
        return None
    try:
        return queue().index(build.pk) + 1
    except ValueError:  # it began, or was cancelled, since the row was read
        return None


def words_of(position: int) -> str:
    """For people: "3rd in the queue, about 2 builds before yours."."""
    before = position - 1
    if not before:
        return "1st in the queue: it begins as soon as a builder is free."
    return f"{position}{_ending(position)} in the queue, about {before} build{'' if before == 1 else 's'} before yours."


def _ending(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
