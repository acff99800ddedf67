"""The stored policies of all teams, and the addresses of the host names in them.

Files only; `links` turns them into rules.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

from runtime import journal
from runtime.errors import NetworkRefused
from runtime.network.addresses import METADATA, PRIVATE
from runtime.network.policy import NetworkPolicy

log = logging.getLogger(__name__)
# seconds that an address stays valid after it left a name's answers: many hosts rotate their
# answers
KEPT = 3600.0
MOST_ADDRESSES = 64  # of one name
_AT_A_TIME = 8  # concurrent lookups

Lookup = Callable[[str], Collection[IPv4Address]]


def look_up(name: str) -> tuple[IPv4Address, ...]:
    """Return a host's IPv4 addresses from this machine's resolver; none if it does not answer."""
    try:
        found = socket.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(IPv4Address(sockaddr[0]) for *_, sockaddr in found)


def may_be_allowed(address: IPv4Address) -> bool:
    """Return whether an address from a name lookup may be allowed.

    The owner of a name must not open our private networks with it.
    """
    inside = any(address in network for network in (*PRIVATE, *METADATA))
    return not (
        inside
        or address.is_loopback
        or address.is_multicast
        or address.is_unspecified
        or address.packed[0] >= 240
    )


class Policies:
    """The files of policies and names, with one lock for both."""

    def __init__(self, folder: Path, lookup: Lookup = look_up) -> None:
        self._file, self._names, self._lock = (
            folder / "policies.json",
            folder / "names.json",
            folder / "policies.lock",
        )
        self._lookup = lookup

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock: the files do not change inside the block."""
        with journal.lock(self._lock):
            yield

    def all(self) -> dict[int, NetworkPolicy]:
        """Return the policies that have been set, by team."""
        try:
            return {
                int(team): NetworkPolicy.from_document(row)
                for team, row in (journal.read_json(self._file) or {}).items()
            }
        except (AttributeError, KeyError, TypeError, ValueError):
            raise NetworkRefused(
                f"{self._file} is damaged: the network policies of the teams are not known.",
                hint=(
                    "Delete the file, run `make up`, and save the network policy of each team again"
                    " in the portal."
                ),
            ) from None

    def write(self, policies: Mapping[int, NetworkPolicy]) -> None:
        """Replace all policies. The caller holds the lock."""
        journal.write_json(
            self._file, {str(team): policy.to_document() for team, policy in policies.items()}
        )

    def known(self) -> dict[str, list[IPv4Address]]:
        """Return the addresses of each name from the last lookups."""
        return {
            name: sorted(IPv4Address(address) for address in seen)
            for name, seen in self._seen().items()
        }

    def refresh(self, names: Collection[str], now: float) -> None:
        """Look up the names without the lock, and store their addresses.

        Other names and old addresses are removed.
        """
        if not names:
            self._names.unlink(missing_ok=True)
            return
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            answers = dict(zip(names, pool.map(self._lookup, names), strict=True))
        with self.held():
            before = self._seen()
            fresh = {name: _merged(before.get(name, {}), answers[name], now) for name in names}
            journal.write_json(self._names, fresh, durable=False)

    def _seen(self) -> dict[str, dict[str, float]]:
        """Return for each name its addresses, with the time when each was last in an answer.

        A damaged file is treated as empty: all names are looked up again.
        """
        try:
            return dict(journal.read_json(self._names) or {})
        except (TypeError, ValueError) as error:
            log.warning(
                "%s is damaged, so all host names are looked up again: %s", self._names, error
            )
            return {}


def _merged(
    before: Mapping[str, float], answers: Collection[IPv4Address], now: float
) -> dict[str, float]:
    """Return the newest MOST_ADDRESSES addresses.

    Without an answer, all known addresses remain valid, so a resolver that is down blocks nothing.
    """
    fresh = {str(address): now for address in answers if may_be_allowed(address)}
    if not fresh:
        return dict(before)
    kept = {address: at for address, at in before.items() if now - at < KEPT}
    return dict(sorted({**kept, **fresh}.items(), key=lambda row: -row[1])[:MOST_ADDRESSES])
