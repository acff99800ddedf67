"""Failed sign-ins, counted in Redis by name and by address apart, and what the next attempt costs its sender.

Nobody is ever locked out, or anyone could keep anyone out. After some failures an attempt needs a proof of work (`accounts/proof.py`), whose
price grows with the failures and stays within seconds for a browser: it is for the name from wherever they came, for the address whatever
the names, and highest for the two together. A right password takes its own address's failures with that name off all three counts.
"""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass

import redis

from portal.activity.events import client
from portal.limits.visitor import network_of

log = logging.getLogger(__name__)

WINDOW_SECONDS = 15 * 60  # from the first of some failures


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """`free` failures cost nothing; the next cost 2 to the `bits` hashes, twice as many whenever their number has doubled, up to `most` bits."""

    free: int
    bits: int
    most: int

    def after(self, failures: int) -> int:
        """Bits that the next attempt costs; 0 for none."""
        if failures < self.free:
            return 0
        return min(self.bits + int(math.log2(failures / self.free)), self.most)


OF_A_NAME = Price(free=10, bits=17, most=20)  # whoever tries it: its owner too pays about a second at most
OF_AN_ADDRESS = Price(free=30, bits=16, most=18)  # an office of people who mistype
OF_BOTH = Price(free=30, bits=18, most=22)  # one name from one address, over and over


def price_of(username: str, address: str) -> int:
    """Bits that the next attempt costs; 0 for none, and while Redis is away."""
    try:
        return _price([int(count or 0) for count in client().mget(_keys(username, address))])
    except redis.RedisError as error:
        log.warning("Sign-ins cost nothing, Redis did not answer: %s", error)
        return 0


def begin(username: str, address: str, *, paid: int) -> bool:
    """Count an attempt before it is made: many at once are many. False, and not counted: it costs more than was paid, in bits."""
    keys = _keys(username, address)
    try:
        with client().pipeline() as pipe:
            for key in keys:
                pipe.set(key, 0, ex=WINDOW_SECONDS, nx=True)
                pipe.incr(key)
            counts = pipe.execute()[1::2]
        if _price([count - 1 for count in counts]) <= paid:
            return True
        _take_back(keys, [1, 1, 1])
    except redis.RedisError as error:
        log.warning("Failed sign-ins are not counted, Redis did not answer: %s", error)
        return True
    log.info("A sign-in as %r from %s needs a proof of work", username[:150], address)
    return False


def succeeded(username: str, address: str) -> None:
    """Take the attempt back, and the earlier ones with this name from this address."""
    keys = _keys(username, address)
    try:
        failures = int(client().get(keys[2]) or 0)
        _take_back(keys, [failures] * 3)
    except redis.RedisError as error:
        log.warning("A sign-in was not taken off the count, Redis did not answer: %s", error)


def is_waited(username: str, address: str, seconds: int) -> bool:
    """Whether this name from this address may have the attempt that waiting gives, one in so many seconds. True while Redis is away."""
    try:
        return bool(client().set(f"{_keys(username, address)[2]}:waited", 1, ex=seconds, nx=True))
    except redis.RedisError as error:
        log.warning("Waiting is not counted, Redis did not answer: %s", error)
        return True


def is_first_use(nonce: str, seconds: int) -> bool:
    """Whether a ticket is used for the first time. True while Redis is away."""
    try:
        return bool(client().set(f"slipway:attempts:used:{nonce}", 1, ex=seconds, nx=True))
    except redis.RedisError as error:
        log.warning("Tickets may be used again, Redis did not answer: %s", error)
        return True


def _price(failures: list[int]) -> int:
    prices = (OF_A_NAME, OF_AN_ADDRESS, OF_BOTH)
    return max(price.after(count) for price, count in zip(prices, failures, strict=True))


def _take_back(keys: tuple[str, str, str], counts: list[int]) -> None:
    """Never below zero, and a count that has ended meanwhile stays ended."""
    script = "for n, key in ipairs(KEYS) do if redis.call('EXISTS', key) == 1 then if redis.call('DECRBY', key, ARGV[n]) < 0 then "
    script += "redis.call('DEL', key) end end end"
    client().eval(script, len(keys), *keys, *(str(count) for count in counts))


def _keys(username: str, address: str) -> tuple[str, str, str]:
    """Of the name, of the address, of both."""
    place = network_of(address)
    name = hashlib.sha256(username.strip().casefold().encode(errors="replace")).hexdigest()
    return f"slipway:attempts:name:{name}", f"slipway:attempts:address:{place}", f"slipway:attempts:both:{place}:{name}"
