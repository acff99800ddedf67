"""How much one container may send before its packets are dropped, so that it does not use up what all containers share. Pure.

Each limit is counted by the container's address. What is over it is dropped or refused, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FloodLimits:
    """Limits of each container, and one of each team. Rates are per second; a burst is what may come at once before the rate counts."""

    flows: int = 4096  # open connections of a container; the kernel's table of them is the whole machine's, and full it drops everybody's
    team_flows: int = 16_384  # of all instances of a team, and as many of its builds
    openings: int = 200  # new connections
    openings_burst: int = 2000
    queries: int = 100  # packets to port 53, wherever they go
    queries_burst: int = 500
    datagrams: int = 20_000  # packets that are not TCP: 224 Mbit/s of full ones
    datagrams_burst: int = 20_000
