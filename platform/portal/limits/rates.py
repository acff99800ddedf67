"""Limit the request rate per person, token and address with token buckets in Redis, shared by all
portal processes.

A bucket holds `burst` requests and is refilled at `rate` per second. One script reads and fills all
buckets of a request in one round trip, with Redis's own clock. The libraries for this
(django-ratelimit, limits) count in windows, need one round trip per limit, and run inside the view,
after the body was read. While Redis is not available, nothing is limited.
"""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import redis
import redis.asyncio
from django.conf import settings

from portal.errors import TooManyRequests
from portal.limits.visitor import Visitor

log = logging.getLogger(__name__)
_COMPLAIN_EVERY = 60.0  # seconds
_BATCHES = 25  # parts of a burst; one part is taken at a time
_PREPAID_SECONDS = 1.0
_MOST_PREPAID = 4096
# Returns as text how many seconds to wait; 0 if the request is allowed and was counted.
_TAKE = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local wait, left = 0, {}
local cost = tonumber(ARGV[1])
for number, key in ipairs(KEYS) do
  local rate, burst = tonumber(ARGV[2 * number]), tonumber(ARGV[2 * number + 1])
  local found = redis.call('HMGET', key, 'left', 'at')
  left[number] = math.min(burst, (tonumber(found[1]) or burst) + math.max(now - (tonumber(found[2]) or now), 0) * rate)
  if left[number] < cost then wait = math.max(wait, (cost - left[number]) / rate) end
end
if wait > 0 then return tostring(wait) end
for number, key in ipairs(KEYS) do
  redis.call('HSET', key, 'left', tostring(left[number] - cost), 'at', string.format('%.6f', now))
  redis.call('PEXPIRE', key, math.ceil(1000 * tonumber(ARGV[2 * number + 1]) / tonumber(ARGV[2 * number])) + 1000)
end
return '0'
"""  # noqa: E501


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Allows `rate` requests per second and `burst` at the same time. `words` name its owner."""

    key: str
    rate: int
    words: str

    @property
    def burst(self) -> int:
        return self.rate * settings.BURST_SECONDS


class Rates:
    """Limits requests through one Redis client in one event loop.

    It takes a small part of a burst at a time and uses it within a second. So most requests of a
    busy client need no round trip.
    """

    def __init__(
        self, client: redis.asyncio.Redis, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._take = client.register_script(_TAKE)
        self._clock = clock
        self._has_warned = -math.inf
        # key of the last bucket -> remaining requests, and their expiry
        self._prepaid: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def take(self, buckets: Sequence[Bucket], *, cost: float = 1.0) -> None:
        """Count a request in all buckets. If one is empty, raise TooManyRequests with the time to
        wait, and count it in none."""
        key = buckets[-1].key
        prepaid, until = self._prepaid.pop(key, (0.0, 0.0))
        if prepaid >= cost and until > self._clock():
            self._prepaid[key] = (prepaid - cost, until)
            return
        batch = max(cost, min(bucket.burst for bucket in buckets) / _BATCHES)
        wait = await self._ask(buckets, batch)
        if wait > 0 and batch > cost:
            batch, wait = cost, await self._ask(buckets, cost)
        if wait > 0:
            raise _too_many(buckets, max(math.ceil(wait), 1))
        self._prepaid[key] = (batch - cost, self._clock() + _PREPAID_SECONDS)
        if len(self._prepaid) > _MOST_PREPAID:
            self._prepaid.popitem(last=False)

    async def _ask(self, buckets: Sequence[Bucket], cost: float) -> float:
        """Return the seconds to wait, or 0 if the cost was counted or Redis is not available."""
        arguments = [
            str(cost),
            *(str(number) for bucket in buckets for number in (bucket.rate, bucket.burst)),
        ]
        try:
            return float(await self._take(keys=[bucket.key for bucket in buckets], args=arguments))
        except (redis.RedisError, OSError) as error:
            if self._clock() - self._has_warned > _COMPLAIN_EVERY:
                self._has_warned = self._clock()
                log.warning("Requests are not limited, because Redis did not answer: %s", error)
            return 0.0


def _too_many(buckets: Sequence[Bucket], seconds: int) -> TooManyRequests:
    rates = " and ".join(f"{bucket.rate} per second for {bucket.words}" for bucket in buckets)
    return TooManyRequests(
        f"Too many requests. The limit is {rates}.",
        hint=(
            f"Wait {seconds} s, then send fewer requests at the same time. An admin can change the"
            " limits (SLIPWAY_PERSON_PER_SECOND)."
        ),
        retry_after=seconds,
    )


def buckets_of(visitor: Visitor) -> list[Bucket]:
    """Return the buckets of the person and the token, or of the address for unknown senders."""
    if visitor.person is None:
        return [bucket_of_address(visitor.address)]
    found = [
        Bucket(
            key=f"slipway:rate:{visitor.name}", rate=settings.PERSON_PER_SECOND, words="one person"
        )
    ]
    if visitor.token:
        found.append(
            Bucket(
                key=f"slipway:rate:token:{visitor.token}",
                rate=settings.TOKEN_PER_SECOND,
                words="one token",
            )
        )
    return found


def bucket_of_address(address: str) -> Bucket:
    """Return the bucket of all senders without sign-in behind one address."""
    return Bucket(
        key=f"slipway:rate:address:{address}",
        rate=settings.ADDRESS_PER_SECOND,
        words="an address without sign-in",
    )
