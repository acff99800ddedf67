"""Which host leads to which endpoints, and under what conditions: the router's truth as values.

Pure; rendering and the socket live elsewhere. `AppRoutes` is all that the rest of the platform hands to the router.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from runtime.router.policy import Policy

WEB = "web"  # the process type that gets what no path route takes


class AppSituation(StrEnum):
    """What the router does for an app: proxy, wake it first, or the page that says why not."""

    SERVING = "serving"
    NO_INSTANCE = "no-instance"  # deployed, nothing healthy yet, or scaled to zero
    CRASHED = "crashed"
    ASLEEP = "asleep"  # the first request wakes it, and is held meanwhile
    HOLDING = "holding"  # between two releases that may not overlap: requests are held until an endpoint is there
    NOT_DEPLOYED = "not-deployed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One healthy (or draining) instance.

    An instance that moves between canary and the rest is given in both places for a while, draining in the one it leaves.
    """

    instance: str  # the instance's id, also the server's name
    address: str  # IPv4
    port: int
    draining: bool = False  # finishes what it has, gets nothing new
    process: str = WEB
    weight: int = 100  # 0 to 256; its share beside others of the same process type
    canary: bool = False  # gets what `AppRoutes.canary` says, and nothing else


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRoute:
    """Requests below a path go to another process type. The longest prefix wins; `/api` takes `/api` and `/api/x`, not `/apix`."""

    prefix: str  # begins with a slash, does not end with one
    process: str
    situation: AppSituation = AppSituation.SERVING  # of that process type; while the app sleeps, the app's own counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """Who meets the canary endpoints: a share of all requests, and whoever shows the token.

    The token comes in the header X-Slipway-Preview or the cookie slipway-preview. A client of a sticky app stays with its
    side, by its address.
    """

    percent: int = 0  # 0 to 100 of the requests that no path route takes
    token: str = ""  # letters, digits and hyphens; empty: nobody by token


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRoutes:
    """Everything the router knows of one app; replaced as a whole, atomically. `situation` is that of its web processes."""

    app: str
    hosts: tuple[str, ...]  # lower case, no port; `*.example.com` for all names one level below
    endpoints: tuple[Endpoint, ...] = ()
    situation: AppSituation = AppSituation.SERVING
    policy: Policy = field(default_factory=Policy)
    paths: tuple[PathRoute, ...] = ()
    canary: Canary | None = None

    def taking(self, process: str = WEB) -> list[Endpoint]:
        """Its endpoints that get new requests whoever asks."""
        return [end for end in self.endpoints if end.process == process and not end.draining and not end.canary]

    def situation_of(self, process: str) -> AppSituation:
        """What is done with requests that a process type should get."""
        if process == WEB or self.situation is AppSituation.ASLEEP:
            return self.situation
        return next((path.situation for path in self.paths if path.process == process), AppSituation.NO_INSTANCE)

    def with_situation(self, process: str, situation: AppSituation) -> AppRoutes:
        """The same, but for what is done with requests that this process type should get."""
        paths = tuple(replace(path, situation=situation) if path.process == process else path for path in self.paths)
        return replace(self, paths=paths, situation=situation if process == WEB else self.situation)
