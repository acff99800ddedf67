"""How many requests a person, a token and an address may send: token buckets in Redis, shared by all of the portal's processes.

A bucket holds `burst` requests and is refilled at `rate` a second. One script reads and fills all buckets of a request in one round trip,
with Redis's own clock. The libraries for it (django-ratelimit, limits) count in windows, one round trip a limit, and run inside the view,
after the body was read. Where Redis is away, nothing is limited.
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
_BATCHES = 25  # parts of a burst, taken one at a time
_PREPAID_SECONDS = 1.0
_MOST_PREPAID = 4096
# Returns how many seconds to wait, as text; 0 where the request may go on and was counted.
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
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """`rate` requests a second, `burst` at once; `words` name whose it is."""

    key: str
    rate: int
    words: str

    @property
    def burst(self) -> int:
        return self.rate * settings.BURST_SECONDS


class Rates:
    """One client of Redis for one event loop.

    It takes a small part of a burst at once and spends it within a second, so that most requests of a busy client need no round trip.
    """

    def __init__(self, client: redis.asyncio.Redis, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._take = client.register_script(_TAKE)
        self._clock = clock
        self._complained = -math.inf
        self._prepaid: OrderedDict[str, tuple[float, float]] = OrderedDict()  # the last bucket's key -> how much, and until when

    async def take(self, buckets: Sequence[Bucket], *, cost: float = 1.0) -> None:
        """Count a request in all the buckets. TooManyRequests says how long to wait, and the request is counted in none."""
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
        """How many seconds to wait; 0 where the cost was counted, or could not be."""
        arguments = [str(cost), *(str(number) for bucket in buckets for number in (bucket.rate, bucket.burst))]
        try:
            return float(await self._take(keys=[bucket.key for bucket in buckets], args=arguments))
        except (redis.RedisError, OSError) as error:
            if self._clock() - self._complained > _COMPLAIN_EVERY:
                self._complained = self._clock()
                log.warning("Requests are not limited, Redis did not answer: %s", error)
            return 0.0


def _too_many(buckets: Sequence[Bucket], seconds: int) -> TooManyRequests:
    rates = " and ".join(f"{bucket.rate} a second for {bucket.words}" for bucket in buckets)
    return TooManyRequests(
        f"Too many requests: at most {rates}.",
        hint=f"Wait {seconds} s, then send fewer at once. An admin can change the limits (SLIPWAY_PERSON_PER_SECOND).",
        retry_after=seconds,
    )


def buckets_of(visitor: Visitor) -> list[Bucket]:
    """A person's and their token's; or their address's, where nobody is known."""
    if visitor.person is None:
        return [bucket_of_address(visitor.address)]
    found = [Bucket(key=f"slipway:rate:{visitor.name}", rate=settings.PERSON_PER_SECOND, words="one person")]
    if visitor.token:
        found.append(Bucket(key=f"slipway:rate:token:{visitor.token}", rate=settings.TOKEN_PER_SECOND, words="one token"))
    return found


def bucket_of_address(address: str) -> Bucket:
    """Of everybody who is not signed in behind one address."""
    return Bucket(key=f"slipway:rate:address:{address}", rate=settings.ADDRESS_PER_SECOND, words="an address without sign-in")
