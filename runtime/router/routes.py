"""The routes of an app as values: its hosts, endpoints and policy. Pure.

The rest of the platform passes only `AppRoutes` to the router. Rendering and HAProxy's socket are
in other modules.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from runtime.router.policy import Policy

WEB = "web"  # the process type that gets requests without a path route


class AppSituation(StrEnum):
    """The action of the router for an app's requests: proxy them, wake the app, or show an error
    page.
    """

    SERVING = "serving"
    NO_INSTANCE = "no-instance"  # deployed, but no healthy instance yet, or scaled to zero
    CRASHED = "crashed"
    ASLEEP = "asleep"  # the first request wakes the app, and waits
    HOLDING = "holding"  # between two releases that may not overlap: requests wait for an endpoint
    NOT_DEPLOYED = "not-deployed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A healthy or draining instance.

    An instance that moves to or from the canary has an endpoint in both groups for a while. The one
    in the old group is draining.
    """

    instance: str  # the instance's id, also the server's name
    address: str  # IPv4
    port: int
    draining: bool = False  # finishes its requests, gets no new ones
    process: str = WEB
    weight: int = 100  # 0 to 256; its share relative to others of the same process type
    canary: bool = False  # gets only the requests that `AppRoutes.canary` selects


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRoute:
    """A route of requests below a path to another process type.

    The longest prefix wins. `/api` matches `/api` and `/api/x`, not `/apix`.
    """

    prefix: str  # begins with a slash, does not end with one
    process: str
    # of that process type; while the app sleeps, the app's own applies
    situation: AppSituation = AppSituation.SERVING


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """The requests that go to the canary endpoints: a share of all, and those with the token.

    The token is in the header X-Slipway-Preview or the cookie slipway-preview. If the app is
    sticky, a client's address decides, so each client stays on its side.
    """

    percent: int = 0  # 0 to 100, of the requests without a path route
    token: str = ""  # letters, digits and hyphens; empty: no token


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRoutes:
    """All of an app's routes, replaced atomically as a whole.

    `situation` is that of the web processes.
    """

    app: str
    hosts: tuple[str, ...]  # lower case, no port; `*.example.com` for all names one level below
    endpoints: tuple[Endpoint, ...] = ()
    situation: AppSituation = AppSituation.SERVING
    policy: Policy = field(default_factory=Policy)
    paths: tuple[PathRoute, ...] = ()
    canary: Canary | None = None

    def taking(self, process: str = WEB) -> list[Endpoint]:
        """Return the endpoints of a process type that get new requests, without the canary."""
        return [
            end
            for end in self.endpoints
            if end.process == process and not end.draining and not end.canary
        ]

    def situation_of(self, process: str) -> AppSituation:
        """Return what the router does with requests of a process type."""
        if process == WEB or self.situation is AppSituation.ASLEEP:
            return self.situation
        return next(
            (path.situation for path in self.paths if path.process == process),
            AppSituation.NO_INSTANCE,
        )

    def with_situation(self, process: str, situation: AppSituation) -> AppRoutes:
        """Return a copy with another situation for a process type."""
        paths = tuple(
            replace(path, situation=situation) if path.process == process else path
            for path in self.paths
        )
        return replace(self, paths=paths, situation=situation if process == WEB else self.situation)
