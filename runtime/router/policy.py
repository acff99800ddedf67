"""Values of an app's policy: what the router does in addition to proxying. Pure.

The whole policy is part of one record of `host.map`. So several changes at once take effect between
two requests. Zero, empty and False mean that a setting is off.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A user name for basic auth. `digest` is `credential_digest` of name and password."""

    name: str
    digest: str  # 64 hex digits


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicAuth:
    """Users and hashed passwords for basic auth.

    The app receives the name in X-Forwarded-User, and no password.
    """

    salt: str  # random for each app: letters and digits, 16 or more
    credentials: tuple[Credential, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """Upper limits; 0 means no limit.

    A rate is requests per second, averaged over ten seconds. A client is an IPv4 address or an IPv6
    /64.
    """

    body: int = 0  # bytes; then the router also refuses a body of unknown length
    headers: int = 0  # bytes of all header lines; the router itself accepts at most about 15,000
    rate: int = 0  # of the whole app
    client_rate: int = 0
    open: int = 0  # requests and tunnels in flight, of the whole app
    client_open: int = 0


class Link(StrEnum):
    """The kind of connections from the router to an app's instances.

    An HAProxy server never changes its kind.
    """

    FRESH = ""  # a connection for each request, so no request uses one that the app is closing
    KEPT = "kept"  # connections are reused
    HTTP2 = "h2"  # without TLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """An app's policy. It is always replaced as a whole."""

    maintenance: bool = False
    maintenance_page: str = ""  # HTML; the router replaces `{request_id}` with the request id
    error_page: str = ""  # HTML for all other errors that the router answers for the app
    canonical_host: str = ""  # requests for the app's other hosts are redirected to this one
    https_only: bool = False  # redirect to HTTPS; no effect if the router has no HTTPS port
    hsts_seconds: int = 0  # Strict-Transport-Security on answers over HTTPS
    limits: RequestLimits = field(default_factory=RequestLimits)
    timeout_seconds: int = 0  # timeout of an answer's start and of pauses in it; 0: five minutes
    hold_seconds: int = (
        30  # how long a request waits for an instance while the app wakes or is replaced
    )
    allowed: tuple[IPv4Network | IPv6Network, ...] = ()  # allowed clients; empty: everybody
    auth: BasicAuth | None = None
    sticky: bool = False  # a client stays with its instance, by a cookie
    http2: bool = False  # HTTP/2 without TLS to the app: gRPC
    # the app keeps idle connections for at least a minute, so they may be reused
    keep_alive: bool = False

    @property
    def link(self) -> Link:
        """Return the kind of connections.

        HTTP/2 has precedence: requests share its connections anyway.
        """
        return Link.HTTP2 if self.http2 else Link.KEPT if self.keep_alive else Link.FRESH


def credential_digest(salt: str, name: str, password: str) -> str:
    """Return the digest that is stored for a password.

    It is SHA-256 and not a slow hash, because the router checks it on each request. So use long
    random passwords.
    """
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    return hashlib.sha256(f"{salt}:{pair}".encode()).hexdigest()
