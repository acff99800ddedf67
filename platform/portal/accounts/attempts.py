"""Count failed sign-ins in Redis and compute the proof of work that the next attempt needs.

Failures are counted separately by name, by address, and by both together. Nobody is locked out,
because then anyone could lock out anyone. After some failures an attempt needs a proof of work
(`accounts/proof.py`). Its cost grows with the failures, but a browser solves it within seconds. The
cost for a name applies to all addresses, and the cost for an address to all names. The cost for
both together is the highest. A correct password subtracts the failures of its own address with that
name from all three counts.
"""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass

import redis

from portal.events import client
from portal.networks import network_of

log = logging.getLogger(__name__)

WINDOW_SECONDS = 15 * 60  # starts with the first failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Define how the cost of an attempt grows with the failures.

    `free` failures cost nothing. The next cost 2 to the `bits` hashes. The cost doubles whenever
    the number of failures doubles, up to `most` bits.
    """

    free: int
    bits: int
    most: int

    def after(self, failures: int) -> int:
        """Return the cost of the next attempt in bits, 0 for none."""
        if failures < self.free:
            return 0
        return min(self.bits + int(math.log2(failures / self.free)), self.most)


# applies to all senders: the owner of the name also pays, about a second at most
OF_A_NAME = Price(free=10, bits=17, most=20)
# allows for an office with many people who mistype
OF_AN_ADDRESS = Price(free=30, bits=16, most=18)
OF_BOTH = Price(free=30, bits=18, most=22)  # repeated attempts with one name from one address


def price_of(username: str, address: str) -> int:
    """Return the cost of the next attempt in bits, 0 for none. 0 while Redis is not available."""
    try:
        return _price([int(count or 0) for count in client().mget(_keys(username, address))])
    except redis.RedisError as error:
        log.warning("Sign-ins need no proof of work, because Redis did not answer: %s", error)
        return 0


def begin(username: str, address: str, *, paid: int) -> bool:
    """Count an attempt before it is made, so that simultaneous attempts are all counted.

    Return False, and do not count it, if it costs more bits than were paid.
    """
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
        log.warning("Failed sign-ins are not counted, because Redis did not answer: %s", error)
        return True
    log.info("A sign-in as %r from %s needs a proof of work", username[:150], address)
    return False


def succeeded(username: str, address: str) -> None:
    """Subtract this attempt, and earlier ones with this name from this address."""
    keys = _keys(username, address)
    try:
        failures = int(client().get(keys[2]) or 0)
        _take_back(keys, [failures] * 3)
    except redis.RedisError as error:
        log.warning(
            "A successful sign-in was not subtracted from the count, because Redis did not"
            " answer: %s",
            error,
        )


def is_waited(username: str, address: str, seconds: int) -> bool:
    """Return True if this name from this address may use the attempt that waiting allows.

    There is one such attempt per `seconds`. True while Redis is not available.
    """
    try:
        return bool(client().set(f"{_keys(username, address)[2]}:waited", 1, ex=seconds, nx=True))
    except redis.RedisError as error:
        log.warning(
            "Attempts after waiting are not counted, because Redis did not answer: %s", error
        )
        return True


def is_first_use(nonce: str, seconds: int) -> bool:
    """Return True if a ticket is used for the first time. True while Redis is not available."""
    try:
        return bool(client().set(f"slipway:attempts:used:{nonce}", 1, ex=seconds, nx=True))
    except redis.RedisError as error:
        log.warning("A proof of work may be used twice, because Redis did not answer: %s", error)
        return True


def _price(failures: list[int]) -> int:
    prices = (OF_A_NAME, OF_AN_ADDRESS, OF_BOTH)
    return max(price.after(count) for price, count in zip(prices, failures, strict=True))


def _take_back(keys: tuple[str, str, str], counts: list[int]) -> None:
    """Subtract from the counts, never below zero. A count that has expired in the meantime stays
    expired."""
    script = (
        "for n, key in ipairs(KEYS) do if redis.call('EXISTS', key) == 1 then if"
        " redis.call('DECRBY', key, ARGV[n]) < 0 then "
    )
    script += "redis.call('DEL', key) end end end"
    client().eval(script, len(keys), *keys, *(str(count) for count in counts))


def _keys(username: str, address: str) -> tuple[str, str, str]:
    """Return the keys of the name, of the address and of both."""
    place = network_of(address)
    name = hashlib.sha256(username.strip().casefold().encode(errors="replace")).hexdigest()
    return (
        f"slipway:attempts:name:{name}",
        f"slipway:attempts:address:{place}",
        f"slipway:attempts:both:{place}:{name}",
    )
