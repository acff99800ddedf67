"""The back-off: the delay before a crashed instance is started again. Pure."""

from __future__ import annotations

AT_ONCE = 3  # most crashes have a short cause: a database that restarts, a lost race
FIRST_SECONDS = 30.0
LONGEST_SECONDS = 960.0  # 16 minutes
# The app did not fail: the instance's monitor was killed, or the node could not start the instance.
FIRST_SECONDS_OF_LOST = 1.0
LONGEST_SECONDS_OF_LOST = 15.0
CLEARED_AFTER = 300.0  # seconds of health after which the crashes are reset


def delay(crashes: int, *, lost: bool = False) -> float:
    """Return the seconds from the last of `crashes` crashes to the next start: 0, 0, 0, 30 … 960.

    Where the last instance was lost, they are 0, 0, 0, 1, 2, 4 … 15.
    """
    if crashes <= AT_ONCE:
        return 0.0
    doublings = min(crashes - AT_ONCE - 1, 16)  # 2**16 exceeds the longest delay; limits the float
    first, longest = (
        (FIRST_SECONDS_OF_LOST, LONGEST_SECONDS_OF_LOST)
        if lost
        else (FIRST_SECONDS, LONGEST_SECONDS)
    )
    return min(first * 2.0**doublings, longest)
