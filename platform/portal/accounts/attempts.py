"""Failed sign-ins, counted in Redis, so that nobody tries passwords by the thousand. Not a lock on an account: from elsewhere its owner
still signs in, or anyone could keep anyone out.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging

import redis

from portal.activity.events import client

log = logging.getLogger(__name__)

WINDOW_SECONDS = 15 * 60  # from the first of some failures
OF_A_NAME = 10  # from one address
OF_AN_ADDRESS = 50  # whatever the names: an office of people who mistype


def begin(username: str, address: str) -> bool:
    """Count an attempt before it is made: many at once are many. False: too many failed lately. True while Redis is away."""
    try:
        with client().pipeline() as pipe:
            for key in _keys(username, address):
                pipe.set(key, 0, ex=WINDOW_SECONDS, nx=True)
                pipe.incr(key)
            _, of_name, _, of_address = pipe.execute()
    except redis.RedisError as error:
        log.warning("Failed sign-ins are not counted, Redis did not answer: %s", error)
        return True
    if of_name == OF_A_NAME + 1 or of_address == OF_AN_ADDRESS + 1:
        log.warning("Too many failed sign-ins as %r from %s", username[:150], address)
    return bool(of_name <= OF_A_NAME and of_address <= OF_AN_ADDRESS)


def succeeded(username: str, address: str) -> None:
    """Take the attempt back, and the name's earlier ones."""
    of_name, of_address = _keys(username, address)
    try:
        with client().pipeline() as pipe:
            pipe.delete(of_name)
            pipe.decr(of_address)
            pipe.execute()
    except redis.RedisError as error:
        log.warning("A sign-in was not taken off the count, Redis did not answer: %s", error)


def _keys(username: str, address: str) -> tuple[str, str]:
    place = _network(address)
    name = hashlib.sha256(username.casefold().encode(errors="replace")).hexdigest()
    return f"slipway:attempts:{place}:{name}", f"slipway:attempts:{place}"


def _network(address: str) -> str:
    """One customer has at least a /64 of version 6 (RFC 6177)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((parsed, 64), strict=False))
