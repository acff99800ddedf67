"""Stored sums of each app's traffic with the outside: in total, and by month and team.

The kernel counts by address, until the container releases the address or the rules are replaced
(`firewall`). This module adds the difference from the previous count. So nothing is lost or counted
twice when a container, a process or the machine restarts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from runtime import journal
from runtime.network.leases import Owner

log = logging.getLogger(__name__)
MONTHS = 13  # kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Bytes in both directions, from the app's view."""

    sent: int = 0
    received: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(sent=self.sent + other.sent, received=self.received + other.received)

    def since(self, before: Amount) -> Amount:
        """Return the difference from `before`, or the whole count if it restarted from 0."""
        if self.sent < before.sent or self.received < before.received:
            return self
        return Amount(sent=self.sent - before.sent, received=self.received - before.received)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Packets of one container over a limit (`floods`).

    They are counted since the container was attached or the rules were replaced.
    """

    queries: int = 0
    flows: int = 0
    datagrams: int = 0

    def since(self, before: Dropped) -> Dropped:
        """Return the difference from `before`, or the whole count if it restarted from 0."""
        if (
            self.queries < before.queries
            or self.flows < before.flows
            or self.datagrams < before.datagrams
        ):
            return self
        return Dropped(
            self.queries - before.queries,
            self.flows - before.flows,
            self.datagrams - before.datagrams,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One count: totals by app, this month by team, and dropped packets by container.

    The traffic of a container is counted since it was attached or the rules were replaced.
    """

    apps: Mapping[str, Amount]
    teams: Mapping[int, Amount]
    dropped: Mapping[str, Dropped]
    owners: Mapping[str, Owner]
    containers: Mapping[str, Amount] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class TrafficTotals:
    """The content of the file."""

    # container -> its counters at the last count
    seen: dict[str, Amount] = field(default_factory=dict)
    apps: dict[str, Amount] = field(default_factory=dict)  # app -> total
    months: dict[str, dict[int, Amount]] = field(
        default_factory=dict
    )  # "2026-11" -> team -> in that month

    def add(self, container: str, owner: Owner, counted: Amount, month: str) -> None:
        """Add what a container has sent and received since the last count."""
        more = counted.since(self.seen.get(container, Amount()))
        self.seen[container] = counted
        if more == Amount():
            return
        self.apps[owner.app] = self.apps.get(owner.app, Amount()) + more
        teams = self.months.setdefault(month, {})
        teams[owner.team] = teams.get(owner.team, Amount()) + more
        for old in sorted(self.months)[:-MONTHS]:
            del self.months[old]


def month_of(now: float) -> str:
    """Return the month of a time, in UTC."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m")


class Traffic:
    """The file of the sums, with a lock for changes.

    A damaged file is replaced by an empty one: it holds only counts, and nothing depends on it.
    """

    def __init__(self, folder: Path) -> None:
        self._file, self._lock = folder / "traffic.json", folder / "traffic.lock"

    @contextmanager
    def changed(self) -> Iterator[TrafficTotals]:
        """Yield the sums, and write them after the block.

        The file is not synced: a power failure loses some seconds.
        """
        with journal.lock(self._lock):
            sums = self.sums()
            before = _document(sums)
            yield sums
            if (after := _document(sums)) != before:
                journal.write_json(self._file, after, durable=False)

    def sums(self) -> TrafficTotals:
        """Return the stored sums."""
        try:
            document = journal.read_json(self._file) or {}
            return TrafficTotals(
                seen=_amounts(document.get("seen", {})),
                apps=_amounts(document.get("apps", {})),
                months={
                    month: {int(team): amount for team, amount in _amounts(teams).items()}
                    for month, teams in document.get("months", {}).items()
                },
            )
        except (AttributeError, TypeError, ValueError) as error:
            log.warning(
                "%s is damaged, so all traffic is counted from 0 again: %s", self._file, error
            )
            return TrafficTotals()


def _amounts(rows: Mapping[str, tuple[int, int]]) -> dict[str, Amount]:
    return {name: Amount(sent=sent, received=received) for name, (sent, received) in rows.items()}


def _document(sums: TrafficTotals) -> dict[str, object]:
    return {
        "seen": _rows(sums.seen),
        "apps": _rows(sums.apps),
        "months": {
            month: _rows({str(team): amount for team, amount in teams.items()})
            for month, teams in sums.months.items()
        },
    }


def _rows(amounts: Mapping[str, Amount]) -> dict[str, list[int]]:
    return {name: [amount.sent, amount.received] for name, amount in amounts.items()}
