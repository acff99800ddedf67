"""The comparison of a canary with the old release, from counted requests. Pure.

It is repeated at each plan, with the requests since the canary's last step. It must be certain
before it reports a fault: a good release must not be rolled back by chance. Both sides are counted
over the same time, because a slow database is slow for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FEWEST_FAILURES = 3  # fewer are ignored, whatever their share
# Probability of so many failures in an equally good release, below which a canary fails.
SURE = 1e-4
TOLERATED = 0.005  # share of failures that is accepted even if the rest has none
WORSE = 1.5  # up to this multiple of the rest's share of failures, both count as equal
FEWEST_TIMED = 50  # requests on each side before their times are compared
SLOWER, SLOWER_AT_LEAST = 1.5, 0.003  # multiple of the rest's median, plus seconds
BUSIER = 1.25  # multiple of the rest's requests per instance; above it, slowness may come from load
# With fewer requests the median needs this many seconds more: a busy machine causes that
# difference.
MANY_TIMED, SLOWER_OF_FEW = 200, 0.01
# Of the 95th percentile: multiple of the rest's, plus seconds.
TAIL_SLOWER, TAIL_AT_LEAST = 2.0, 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTraffic:
    """The requests to one instance or a group of instances, over some time."""

    requests: int = 0
    failed: int = 0  # answered with 5xx, or not at all
    median: float = 0.0  # seconds until the response was complete
    tail: float = 0.0  # the 95th percentile, in seconds
    memory_kills: int = 0  # processes that the kernel killed because memory ran out
    instances: int = 1  # number of instances that shared these requests


def judge(canary: GroupTraffic, rest: GroupTraffic, *, name: str, other: str) -> str:
    """Return why the canary must be rolled back, with the numbers, or "" if no fault is found."""
    if canary.memory_kills > rest.memory_kills:
        return (
            f"{name} ran out of memory: the kernel killed"
            f" {_count(canary.memory_kills, 'process', 'processes')} of it."
        )
    if _fails_more(canary, rest):
        return (
            f"{name} failed {_share(canary)} of its requests with a 5xx or without an answer; "
            f"{other} failed {_share(rest)} in the same time."
        )
    if _is_slower(canary, rest):
        return (
            f"{name} takes {_milliseconds(canary.median)} for half of its requests and"
            f" {_milliseconds(canary.tail)} for 95 %; {other} takes {_milliseconds(rest.median)}"
            f" and {_milliseconds(rest.tail)} in the same time."
        )
    return ""


def _fails_more(canary: GroupTraffic, rest: GroupTraffic) -> bool:
    if canary.failed < FEWEST_FAILURES:
        return False
    expected = max(TOLERATED, WORSE * rest.failed / rest.requests if rest.requests else 0.0)
    return _chance_of_so_many(canary.failed, canary.requests, min(expected, 1.0)) < SURE


def _is_slower(canary: GroupTraffic, rest: GroupTraffic) -> bool:
    if canary.requests * rest.instances > BUSIER * rest.requests * canary.instances:
        return False
    fewest = min(canary.requests, rest.requests)
    if fewest < FEWEST_TIMED:
        return False
    if fewest < MANY_TIMED:
        return canary.median > rest.median * SLOWER + SLOWER_OF_FEW
    return (
        canary.median > rest.median * SLOWER + SLOWER_AT_LEAST
        or canary.tail > rest.tail * TAIL_SLOWER + TAIL_AT_LEAST
    )


def _chance_of_so_many(failed: int, requests: int, share: float) -> float:
    """Return P(X >= failed) of a binomial distribution.

    The sum ends when further terms do not matter: above the mean, each term is smaller than the
    last.
    """
    if share >= 1.0 or failed <= requests * share:
        return 1.0
    total = 0.0
    for count in range(failed, requests + 1):
        term = math.exp(
            math.lgamma(requests + 1)
            - math.lgamma(count + 1)
            - math.lgamma(requests - count + 1)
            + count * math.log(share)
            + (requests - count) * math.log1p(-share)
        )
        total += term
        if term <= total * 1e-9:
            break
    return total


def _share(traffic: GroupTraffic) -> str:
    percent = 100 * traffic.failed / traffic.requests if traffic.requests else 0.0
    return f"{traffic.failed:,} of {traffic.requests:,} ({percent:.2g} %)"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number} {singular if number == 1 else plural}"
