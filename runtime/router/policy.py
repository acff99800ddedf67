"""What an app's owner asks of the router beside "send it on": values only. Pure.

All of it travels in one record of `host.map`, so a change of several at once takes effect between two requests.
Zero, empty and False mean: not wanted.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One name that may pass basic auth; `digest` is `credential_digest` of name and password."""

    name: str
    digest: str  # 64 hex digits


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicAuth:
    """Names and hashed passwords that a browser is asked for. The app sees the name in X-Forwarded-User, and no password."""

    salt: str  # random for each app: letters and digits, 16 or more
    credentials: tuple[Credential, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds; 0 for none. A rate is requests a second, averaged over ten seconds. A client is an IPv4 address or an IPv6 /64."""

    body: int = 0  # bytes; a body whose length nobody states is then refused too
    headers: int = 0  # bytes of all header lines together; the router itself takes no more than about 15,000
    rate: int = 0  # of the whole app
    client_rate: int = 0
    open: int = 0  # requests and tunnels in flight, of the whole app
    client_open: int = 0


class Link(StrEnum):
    """How the router speaks to an app's instances. A server of HAProxy's keeps it for life."""

    FRESH = ""  # a connection for each request: none ever meets one that the app is just closing
    KEPT = "kept"  # connections are used again
    HTTP2 = "h2"  # without TLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """An app's wishes, replaced as a whole."""

    maintenance: bool = False
    maintenance_page: str = ""  # HTML; `{request_id}` in it becomes the request's id
    error_page: str = ""  # HTML for all other answers that the router gives in the app's place
    canonical_host: str = ""  # requests for the app's other hosts are redirected to this one
    https_only: bool = False  # redirect to HTTPS; without effect on a router that has no HTTPS
    hsts_seconds: int = 0  # Strict-Transport-Security on answers over HTTPS
    limits: Limits = field(default_factory=Limits)
    timeout_seconds: int = 0  # until an answer must begin, and between its parts; 0: five minutes
    hold_seconds: int = 30  # how long a request waits for an instance while the app wakes or is replaced
    allowed: tuple[IPv4Network | IPv6Network, ...] = ()  # who may come in; empty: everybody
    auth: BasicAuth | None = None
    sticky: bool = False  # a client stays with its instance, by a cookie
    http2: bool = False  # speak HTTP/2 without TLS to the app: gRPC
    keep_alive: bool = False  # the app keeps idle connections for a minute or longer, so they may be used again

    @property
    def link(self) -> Link:
        """HTTP/2 goes first: all of an app's requests share its connections anyway."""
        return Link.HTTP2 if self.http2 else Link.KEPT if self.keep_alive else Link.FRESH


def credential_digest(salt: str, name: str, password: str) -> str:
    """How a password is kept. SHA-256 and not a slow hash, since each single request is checked: so give long random passwords."""
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    return hashlib.sha256(f"{salt}:{pair}".encode()).hexdigest()
