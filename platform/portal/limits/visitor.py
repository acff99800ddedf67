"""Identify the sender of a request for the limits: a person by token or session, else an address.

This is not authentication: the view decides what a request may do. A person is cached for some
seconds, so limits need no query.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.db import DatabaseError, connection

from portal.accounts.access import person_of_token
from portal.networks import network_of

_KEPT_SECONDS = 30.0
_MOST = 4096
Headers = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """The sender of a request.

    `address` is a network: one customer has at least a /64 of IPv6 (RFC 6177). `token` is a digest,
    empty without a token.
    """

    address: str
    person: int | None = None
    token: str = ""

    @property
    def name(self) -> str:
        """Return a name that is unique per person, or per address of unknown senders."""
        return f"person:{self.person}" if self.person is not None else f"address:{self.address}"


class Visitors:
    """Caches the owners of credentials in one process."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, int | None]] = OrderedDict()

    def remembered(self, scope: Mapping[str, Any], headers: Headers) -> Visitor | None:
        """Return the sender without a query, or None if the credentials must be looked up first."""
        credentials = _credentials(headers)
        if not credentials:
            return Visitor(address=address_of(scope))
        kept = self._known.get(_digest(credentials))
        if kept is None or kept[0] < self._clock():
            return None
        return self._visitor(scope, credentials, kept[1])

    def look_up(self, scope: Mapping[str, Any], headers: Headers) -> Visitor:
        """Return the sender by a query, and cache it. Unknown credentials are cached too."""
        credentials = _credentials(headers)
        person = _person_of(credentials)
        self._known[_digest(credentials)] = (self._clock() + _KEPT_SECONDS, person)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return self._visitor(scope, credentials, person)

    def _visitor(self, scope: Mapping[str, Any], credentials: str, person: int | None) -> Visitor:
        is_token = person is not None and credentials.startswith("token ")
        return Visitor(
            address=address_of(scope), person=person, token=_digest(credentials) if is_token else ""
        )


def address_of(scope: Mapping[str, Any]) -> str:
    """Return the client's IPv4 address or IPv6 /64. Only the router can connect to our socket, and
    it passes the address."""
    client = scope.get("client")
    return network_of(client[0] if client else "")


def password_of(credentials: str) -> str:
    """Return the password of HTTP Basic credentials (RFC 7617), or an empty text if they are
    malformed."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _credentials(headers: Headers) -> str:
    """`token TEXT` or `session KEY`; empty without either."""
    scheme, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    token = {"bearer": text, "basic": password_of(text)}.get(scheme.lower(), "").strip()
    if token:
        return f"token {token}"
    try:
        cookie = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(
            settings.SESSION_COOKIE_NAME
        )
    except CookieError:
        return ""
    return f"session {cookie.value}" if cookie is not None and cookie.value else ""


def _person_of(credentials: str) -> int | None:
    """Look up the owner. Django closes connections only for requests, so the connection is closed
    here."""
    kind, _, text = credentials.partition(" ")
    try:
        if kind == "token":
            person = person_of_token(text)
            return person.pk if person is not None else None
        key = import_module(settings.SESSION_ENGINE).SessionStore(text).get(SESSION_KEY)
        return int(key) if key is not None else None
    except (
        DatabaseError
    ):  # such as a full disk: count by address, and let the view report the error
        return None
    finally:
        connection.close()


def _digest(credentials: str) -> str:
    return hashlib.sha256(credentials.encode(errors="replace")).hexdigest()[:32]
