"""The group of a release, its counts of instances, and the types that decide. Pure."""

from __future__ import annotations

from runtime.converge.desired import DesiredApp, DesiredRelease
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


def deciding_types(desired: DesiredApp, release: DesiredRelease) -> frozenset[str]:
    """Return the process types that must become ready for a rollout to succeed.

    These are the types that get requests. Another type that ends, for example a one-off command in
    a Procfile, has its own state and does not hold up the app. All types decide if no type with
    instances gets requests.
    """
    running = frozenset(kind.name for kind in release.processes if kind.count)
    return running & desired.public or running
