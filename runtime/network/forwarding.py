"""Forwarding of IPv4 packets by single interfaces.

The machine's global switch remains as it is. A record in the state folder names the interfaces that
this platform changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from runtime import journal
from runtime.network.interfaces import set_sysctl


def turn_on(record: Path, links: Iterable[dict[str, object]]) -> None:
    """Turn on forwarding for these interfaces, so that answers reach containers."""
    ours = set(journal.read_json(record) or [])
    for link in links:
        name = str(link.get("ifname"))  # pyroute2's messages find attributes with .get()
        if set_sysctl(f"net/ipv4/conf/{name}/forwarding", "1"):
            ours.add(name)
            journal.write_json(record, sorted(ours))


def turn_off(record: Path) -> None:
    """Turn off forwarding for the interfaces in the record."""
    for name in journal.read_json(record) or []:
        set_sysctl(f"net/ipv4/conf/{name}/forwarding", "0")
