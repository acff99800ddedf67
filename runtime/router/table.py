"""Which host leads to which endpoints: the router's truth as values. Pure; rendering and the socket live elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AppSituation(StrEnum):
    """What the router does for an app: proxy, or the page that says why not."""

    SERVING = "serving"
    NO_INSTANCE = "no-instance"  # deployed, nothing healthy yet, or scaled to zero
    CRASHED = "crashed"
    ASLEEP = "asleep"
    NOT_DEPLOYED = "not-deployed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One healthy (or draining) web instance."""

    instance: str  # the instance's id, also the server's name
    address: str  # IPv4
    port: int
    draining: bool = False  # finishes what it has, gets nothing new


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRoutes:
    """Everything the router knows of one app; replaced as a whole, atomically."""

    app: str
    hosts: tuple[str, ...]  # lower case, no port
    endpoints: tuple[Endpoint, ...] = ()
    situation: AppSituation = AppSituation.SERVING
