"""The request counts of an app: the time of the last request, and the traffic of each group.

The reader of the router's access log writes one small file per app, which does not survive a
reboot. Reconciliation reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runtime import journal
from runtime.contract.json_values import from_json, to_json
from runtime.converge.canary_analysis import GroupTraffic
from runtime.converge.observed import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """The counts of one app. Times are unix seconds.

    `groups` is counted since the current step of a canary, and empty without one.
    """

    counted_since: float
    last_at: float = 0.0  # 0: no request since `counted_since`
    groups: Mapping[Group, GroupTraffic] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """The content of the file."""

    counted_since: float
    last_at: float
    groups: Mapping[str, GroupTraffic]  # by release/generation


def load(path: Path) -> Requests | None:
    """Return the counts, or None if the file is missing or damaged: then there is no data."""
    try:
        raw = journal.read_json(path)
        if raw is None:
            return None
        stored = from_json(raw, _Stored)
        groups = {_group(text): traffic for text, traffic in stored.groups.items()}
    except ValueError:
        return None
    return Requests(counted_since=stored.counted_since, last_at=stored.last_at, groups=groups)


def save(path: Path, requests: Requests) -> None:
    """Replace the file atomically."""
    stored = _Stored(
        counted_since=requests.counted_since,
        last_at=requests.last_at,
        groups={
            f"{group.release}/{group.generation}": traffic
            for group, traffic in requests.groups.items()
        },
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    journal.write_json(path, to_json(stored), durable=False)


def _group(text: str) -> Group:
    release, generation = text.split("/")
    return Group(int(release), int(generation))
