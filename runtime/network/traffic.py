"""What each app has sent to the outside and received from there, summed up durably: by month and team, and in all.

The kernel counts by address, for as long as a container has it and until the rules are made anew (`firewall`). What is added here is
the difference to the last look, so nothing is lost or counted twice when a container, a process or the machine starts again.
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
    """Bytes both ways, seen from the app."""

    sent: int = 0
    received: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(sent=self.sent + other.sent, received=self.received + other.received)

    def since(self, before: Amount) -> Amount:
        """Return what was added; all of it where the count began anew."""
        if self.sent < before.sent or self.received < before.received:
            return self
        return Amount(sent=self.sent - before.sent, received=self.received - before.received)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Packets of one container that were over a limit (`floods`), since it was attached or the rules were made anew."""

    queries: int = 0
    flows: int = 0
    datagrams: int = 0

    def since(self, before: Dropped) -> Dropped:
        """Return what was added; all of it where the count began anew."""
        if self.queries < before.queries or self.flows < before.flows or self.datagrams < before.datagrams:
            return self
        return Dropped(self.queries - before.queries, self.flows - before.flows, self.datagrams - before.datagrams)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One look: by app in all, by team in this month, by container."""

    apps: Mapping[str, Amount]
    teams: Mapping[int, Amount]
    dropped: Mapping[str, Dropped]
    owners: Mapping[str, Owner]


@dataclass(slots=True, kw_only=True)
class Sums:
    """All that is written down."""

    seen: dict[str, Amount] = field(default_factory=dict)  # container -> its counters at the last look
    apps: dict[str, Amount] = field(default_factory=dict)  # app -> in all
    months: dict[str, dict[int, Amount]] = field(default_factory=dict)  # "2026-11" -> team -> in that month

    def add(self, container: str, owner: Owner, counted: Amount, month: str) -> None:
        """Count what a container has sent and received since the last look."""
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
    """Return a moment's month, in UTC."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m")


def exposition(app: str, amount: Amount) -> str:
    """Return Prometheus' text of one app."""
    lines = []
    for name, what, value in (("egress", "sent to the outside", amount.sent), ("ingress", "received from there", amount.received)):
        metric = f"slipway_{name}_bytes_total"
        lines.append(f"# HELP {metric} Bytes that the app itself has {what}, requests through the router left out.\n")
        lines.append(f'# TYPE {metric} counter\n{metric}{{app="{app}"}} {value}\n')
    return "".join(lines)


class Traffic:
    """One file, changed under a lock. A file that a crash has damaged is begun anew: it is a count, and nothing depends on it."""

    def __init__(self, folder: Path) -> None:
        self._file, self._lock = folder / "traffic.json", folder / "traffic.lock"

    @contextmanager
    def changed(self) -> Iterator[Sums]:
        """The sums, written back after the block. Not synced: a power failure loses some seconds."""
        with journal.lock(self._lock):
            sums = self.sums()
            before = _document(sums)
            yield sums
            if (after := _document(sums)) != before:
                journal.write_json(self._file, after, durable=False)

    def sums(self) -> Sums:
        """Return the sums as they are written down."""
        try:
            document = journal.read_json(self._file) or {}
            return Sums(
                seen=_amounts(document.get("seen", {})),
                apps=_amounts(document.get("apps", {})),
                months={
                    month: {int(team): amount for team, amount in _amounts(teams).items()}
                    for month, teams in document.get("months", {}).items()
                },
            )
        except (AttributeError, TypeError, ValueError) as error:
            log.warning("%s is damaged, so all traffic is counted from 0 again: %s", self._file, error)
            return Sums()


def _amounts(rows: Mapping[str, tuple[int, int]]) -> dict[str, Amount]:
    return {name: Amount(sent=sent, received=received) for name, (sent, received) in rows.items()}


def _document(sums: Sums) -> dict[str, object]:
    return {
        "seen": _rows(sums.seen),
        "apps": _rows(sums.apps),
        "months": {month: _rows({str(team): amount for team, amount in teams.items()}) for month, teams in sums.months.items()},
    }


def _rows(amounts: Mapping[str, Amount]) -> dict[str, list[int]]:
    return {name: [amount.sent, amount.received] for name, amount in amounts.items()}
