"""Limits on what a container may send, so that it does not exhaust shared resources. Pure.

Each limit counts per container's address. Packets over a limit are dropped or refused, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FloodLimits:
    """Limits of each container, and one of each team.

    Rates are per second. A burst is the number that may come at once before the rate applies.
    """

    # open connections of a container; the kernel's table of connections is shared by the whole
    # machine, and if it is full, packets of everybody are dropped
    flows: int = 4096
    # of all instances of a team together, and again of all its builds together
    team_flows: int = 16_384
    openings: int = 200  # new connections
    openings_burst: int = 2000
    queries: int = 100  # packets to port 53 of any address
    queries_burst: int = 500
    datagrams: int = 20_000  # packets that are not TCP: 224 Mbit/s of full-size ones
    datagrams_burst: int = 20_000
