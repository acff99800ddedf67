"""The group of a release, and its counts of instances. Pure."""

from __future__ import annotations

from runtime.converge.desired import DesiredRelease
from runtime.converge.observed import WEB, Group


def group_of(release: DesiredRelease) -> Group:
    return Group(release.number, release.generation)


def web_count(release: DesiredRelease) -> int:
    return count_of(release, WEB)


def count_of(release: DesiredRelease, process: str) -> int:
    return next(
        (process_type.count for process_type in release.processes if process_type.name == process),
        0,
    )
