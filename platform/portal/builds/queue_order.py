"""The order of queued builds: teams take turns, and within a team the oldest build is first.

Workers start builds in this order, and pages show the position.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable

from humanize import ordinal

from portal.builds.models import Build, BuildState


def order(waiting: Iterable[tuple[int, int]], running: Iterable[int]) -> list[int]:
    """Return the queued builds in the order in which they will start.

    `waiting` has (build, team) of each queued build, `running` the team of each running build. The
    team with the fewest running builds is next. If several teams are equal, the team with the
    oldest queued build is next. So a team that queues a hundred builds delays only its own.
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
    """Return all queued builds in their current order."""
    waiting = Build.objects.filter(state=BuildState.QUEUED).values_list("pk", "app__team")
    return order(
        waiting, Build.objects.filter(state=BuildState.BUILDING).values_list("app__team", flat=True)
    )


def position_of(build: Build) -> int | None:
    """Return the position in the queue, from 1. None if the build is not queued."""
    if build.state != BuildState.QUEUED:
        return None
    try:
        return queue().index(build.pk) + 1
    except ValueError:  # it started or was cancelled after the row was read
        return None


def words_of(position: int) -> str:
    """Describe a position: "3rd in the queue, about 2 builds before yours."."""
    before = position - 1
    if not before:
        return "1st in the queue. It starts when a build slot is free."
    return (
        f"{ordinal(position)} in the queue, about {before}"
        f" build{'' if before == 1 else 's'} before yours."
    )
