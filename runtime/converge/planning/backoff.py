"""How long a crashed instance waits before it is started again. Pure."""

from __future__ import annotations

AT_ONCE = 3  # most crashes are a passing thing: a database that restarts, a lost race
FIRST_SECONDS = 30.0
LONGEST_SECONDS = 960.0  # 16 minutes
FIRST_SECONDS_OF_LOST = 1.0  # it was not the app that failed: its monitor was killed, or the node could not start it
LONGEST_SECONDS_OF_LOST = 15.0
CLEARED_AFTER = 300.0  # seconds of health after which the past is forgotten


def delay(crashes: int, *, lost: bool = False) -> float:
    """Return the seconds from the last of `crashes` crashes to the next start: 0, 0, 0, 30, 60, 120 … 960.

    Where the last instance was lost, they are 0, 0, 0, 1, 2, 4 … 15.
    """
    if crashes <= AT_ONCE:
        return 0.0
    doublings = min(crashes - AT_ONCE - 1, 16)  # 2**16 is past the longest by far; keeps the float small
    first, longest = (FIRST_SECONDS_OF_LOST, LONGEST_SECONDS_OF_LOST) if lost else (FIRST_SECONDS, LONGEST_SECONDS)
    return min(first * 2.0**doublings, longest)
