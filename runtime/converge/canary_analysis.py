"""Is a canary worse than what serves beside it? A judgement on counted requests. Pure.

It is made again at each look, from the requests since the canary's last step, so it has to be sure before it says so: a good release must
not be rolled back for bad luck. Both sides are counted over the same time, for a database that is slow is slow for both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FEWEST_FAILURES = 3  # fewer say nothing, whatever the share
SURE = 1e-4  # how unlikely the failures must be if the canary were as good as the rest
TOLERATED = 0.005  # share of failures that is nobody's surprise, even where the rest has none
WORSE = 1.5  # so many times the rest's share of failures is still taken for the same
FEWEST_TIMED = 50  # requests on each side before their times are compared
SLOWER, SLOWER_AT_LEAST = 1.5, 0.003  # times the rest's median, and seconds on top of it
BUSIER = 1.25  # times the rest's requests an instance; one that has more to do is slower for that
MANY_TIMED, SLOWER_OF_FEW = 200, 0.01  # fewer need so many seconds on top: a busy machine alone makes that difference
TAIL_SLOWER, TAIL_AT_LEAST = 2.0, 0.02  # the same of the 95th percentile, of many


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTraffic:
    """What was answered, over some time, by one instance or a group of them."""

    requests: int = 0
    failed: int = 0  # 5xx, or none at all
    median: float = 0.0  # seconds until the answer was complete
    tail: float = 0.0  # the 95th percentile
    memory_kills: int = 0  # processes that the kernel ended for want of memory
    instances: int = 1  # that shared these requests


def judge(canary: GroupTraffic, rest: GroupTraffic, *, who: str, beside: str) -> str:
    """Why the canary must go, with the numbers; empty as long as nothing speaks against it."""
    if canary.memory_kills > rest.memory_kills:
        return f"{who} ran out of memory: the kernel ended {_count(canary.memory_kills, 'process', 'processes')} of it."
    if _fails_more(canary, rest):
        return (
            f"{who} failed {_share(canary)} of its requests with a 5xx or without an answer; "
            f"{beside} failed {_share(rest)} in the same time."
        )
    if _is_slower(canary, rest):
        return (
            f"{who} takes {_milliseconds(canary.median)} for half of its requests and {_milliseconds(canary.tail)} for 95 %; "
            f"{beside} takes {_milliseconds(rest.median)} and {_milliseconds(rest.tail)} in the same time."
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
    return canary.median > rest.median * SLOWER + SLOWER_AT_LEAST or canary.tail > rest.tail * TAIL_SLOWER + TAIL_AT_LEAST


def _chance_of_so_many(failed: int, requests: int, share: float) -> float:
    """P(X >= failed) of a binomial distribution, summed until the rest does not matter: above the mean, terms only shrink."""
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


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
