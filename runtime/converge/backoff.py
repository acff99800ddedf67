"""How long a crashed instance waits before it is started again. Pure."""

from __future__ import annotations

AT_ONCE = 3  # most crashes are a passing thing: a database that restarts, a lost race
FIRST_SECONDS = 30.0
LONGEST_SECONDS = 960.0  # 16 minutes
CLEARED_AFTER = 300.0  # seconds of health after which the past is forgotten


def delay(crashes: int) -> float:
    """Seconds from the last of `crashes` crashes to the next start: 0, 0, 0, 30, 60, 120 … 960."""
    if crashes <= AT_ONCE:
        return 0.0
    doublings = min(crashes - AT_ONCE - 1, 16)  # 2**16 is past the longest by far; keeps the float small
    return min(FIRST_SECONDS * 2.0**doublings, LONGEST_SECONDS)
