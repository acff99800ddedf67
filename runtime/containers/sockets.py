"""The ports on which the processes of a network namespace listen.

They are read from /proc/PID/net/tcp and tcp6 (proc_net(5)). Only the read has an effect; the
rest is pure.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

_LISTEN = "0A"


def listening(pid: int) -> list[tuple[str, int]]:
    """Return pairs of address and port, sorted by port; empty if the process is gone."""
    found: set[tuple[str, int]] = set()
    for table in ("tcp", "tcp6"):
        try:
            found |= parse(Path(f"/proc/{pid}/net/{table}").read_text())
        except (FileNotFoundError, ProcessLookupError, OSError):
            continue  # the process has ended, or IPv6 is off
    return sorted(found, key=lambda socket: (socket[1], socket[0]))


def parse(table: str) -> set[tuple[str, int]]:
    """Return the listeners of one table."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {_endpoint(row[1]) for row in rows if len(row) > 3 and row[3] == _LISTEN}


def _endpoint(text: str) -> tuple[str, int]:
    """Return the address and port of a socket: `0100007F:1F90` is 127.0.0.1:8080.

    The address consists of four-byte words, each in the machine's (little-endian) byte order.
    """
    digits, _, port = text.partition(":")
    raw = bytes.fromhex(digits)
    address = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    return str(ipaddress.ip_address(address)), int(port, 16)
