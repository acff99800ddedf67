"""An app's routes as entries of HAProxy's maps. Pure.

`host.map` and `wild.map` lead from a host to its app's whole record, `app|slot|situation|flags|…`: a change of it is one command, so a
policy changes between two requests, and one lookup finds it, which with many apps is what a request costs most. An app of many hosts
has its record in `app.map`, where the others lead: HAProxy looks through a whole map for each entry that is to be another. A flag is a
letter that says "this field counts"; the frontend's rules look at the letters first. `path.map` holds a shorter record for each path,
`slot|situation|process`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from runtime.router import pages
from runtime.router.routes import WEB, AppRoutes, AppSituation, Endpoint, PathRoute

CANARY = "@canary"  # the group of canary endpoints; no process type can be called so
RATE_PERIOD = 10  # seconds over which rates are averaged

SITUATIONS = {
    AppSituation.SERVING: "S",
    AppSituation.NO_INSTANCE: "N",
    AppSituation.CRASHED: "C",
    AppSituation.ASLEEP: "Z",
    AppSituation.HOLDING: "W",
    AppSituation.NOT_DEPLOYED: "D",
}
# The record's fields, in order; each is read under the flag beside it. Most apps' ends with the flags, and has none.
FIELDS = (
    "app",
    "slot",
    "situation",
    "flags",
    "canary_slot",
    "percent",  # y
    "token",  # v
    "body",  # b
    "headers",  # g
    "rate",  # R
    "client_rate",  # r
    "open",  # O
    "client_open",  # o
    "timeout",  # T, milliseconds
    "canonical",  # h
    "hsts",  # s
    "salt",  # u
    "hold",  # milliseconds
)
PATH_FIELDS = ("slot", "situation", "process")
FEW_HOSTS = 4  # so many have the record themselves
_ALWAYS = FIELDS.index("flags") + 1
PLAIN = f"|{SITUATIONS[AppSituation.SERVING]}|-"  # how the record of an app ends that serves and wishes for nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps:
    """Where HAProxy finds its maps; the path is also a map's name in the Runtime API."""

    folder: Path

    @property
    def hosts(self) -> Path:
        """Host to its app's record, or to the app."""
        return self.folder / "host.map"

    @property
    def wild(self) -> Path:
        """What follows a host's first label, to the same."""
        return self.folder / "wild.map"

    @property
    def apps(self) -> Path:
        """An app of many hosts to its record."""
        return self.folder / "app.map"

    @property
    def paths(self) -> Path:
        """`APP/PREFIX/` to a path's record; the longest match counts."""
        return self.folder / "path.map"

    @property
    def allow(self) -> Path:
        """`APP/4HEX` or `APP/6HEX`, the beginning of an allowed address in hexadecimal; the longest match counts."""
        return self.folder / "allow.map"

    @property
    def auth(self) -> Path:
        """`APP/DIGEST` to name."""
        return self.folder / "auth.map"

    @property
    def custom(self) -> Path:
        """`APP/KIND` and `APP/KIND-tail` to the two halves of an app's own page."""
        return self.folder / "custom.map"

    @property
    def acme(self) -> Path:
        """An ACME challenge's token to its answer."""
        return self.folder / "acme.map"

    @property
    def pages(self) -> Path:
        """Code and form to body."""
        return self.folder / "pages.map"

    @property
    def of_apps(self) -> tuple[Path, ...]:
        """Those rendered from the apps' routes, in the order in which they may be changed: a record follows what it speaks of."""
        return (self.paths, self.allow, self.auth, self.custom, self.apps, self.wild, self.hosts)

    def looks_up_beginnings(self, path: Path) -> bool:
        """`get map` on such a map finds the longest beginning, and so does not tell whether a key is there."""
        return path in (self.paths, self.allow)


def slot_name(slot: int) -> str:
    """The backend's name."""
    return f"b{slot:05d}"


def groups(routes: AppRoutes) -> list[str]:
    """The groups of servers an app needs a slot for: web, each process type with a path, the canary."""
    found = {WEB, *(path.process for path in routes.paths), *(_group(end) for end in routes.endpoints)}
    return sorted(found | ({CANARY} if routes.canary else set()))


def members(routes: AppRoutes, group: str) -> tuple[Endpoint, ...]:
    """A group's endpoints."""
    return tuple(end for end in routes.endpoints if _group(end) == group)


def app_entries(maps: Maps, routes: AppRoutes, slots: Mapping[str, int]) -> dict[Path, dict[str, str]]:
    """All of an app's entries, by map."""
    policy, record = routes.policy, app_record(routes, slots)
    few = len(routes.hosts) <= FEW_HOSTS
    told = record if few else routes.app
    auth = {f"{routes.app}/{one.digest}": one.name for one in policy.auth.credentials} if policy.auth else {}
    return {
        maps.paths: {f"{routes.app}{path.prefix}/": path_record(path, slots) for path in routes.paths},
        maps.allow: {f"{routes.app}/{start}": "1" for network in policy.allowed for start in hex_beginnings(network)},
        maps.auth: auth,
        maps.custom: dict(pages.custom_entries(routes.app, policy)),
        maps.apps: {} if few else {routes.app: record},
        maps.wild: {host.removeprefix("*."): told for host in routes.hosts if host.startswith("*.")},
        maps.hosts: {host: told for host in routes.hosts if not host.startswith("*.")},
    }


def app_record(routes: AppRoutes, slots: Mapping[str, int]) -> str:
    """An app's record."""
    policy, limits, canary = routes.policy, routes.policy.limits, routes.canary
    values = {
        "app": routes.app,
        "slot": slot_name(slots[WEB]),
        "situation": SITUATIONS[routes.situation],
        "flags": _flags(routes),
        "canary_slot": slot_name(slots[CANARY]) if canary else "",
        "percent": canary.percent if canary else 0,
        "token": canary.token if canary else "",
        "body": limits.body,
        "headers": limits.headers,
        "rate": limits.rate * RATE_PERIOD,
        "client_rate": limits.client_rate * RATE_PERIOD,
        "open": limits.open,
        "client_open": limits.client_open,
        "timeout": policy.timeout_seconds * 1000,
        "canonical": policy.canonical_host,
        "hsts": policy.hsts_seconds,
        "salt": policy.auth.salt if policy.auth else "",
        "hold": policy.hold_seconds * 1000,
    }
    record = "|".join(str(values[field]) or "-" for field in FIELDS[:_ALWAYS])
    if record.endswith(PLAIN):
        return record
    return "|".join([record, *(str(values[field]) or "-" for field in FIELDS[_ALWAYS:])])


def app_of(told: str) -> str:
    """Which app a host leads to, by its value in `host.map` or `wild.map`."""
    return told.partition("|")[0]


def path_record(path: PathRoute, slots: Mapping[str, int]) -> str:
    """A path's value in `path.map`."""
    return f"{slot_name(slots[path.process])}|{SITUATIONS[path.situation]}|{path.process}"


def hex_beginnings(network: IPv4Network | IPv6Network) -> list[str]:
    """The beginnings, in hexadecimal, of exactly the network's addresses: one, or up to eight where it ends within a digit."""
    whole, rest = divmod(network.prefixlen, 4)
    digits = network.network_address.packed.hex().upper()
    family = "4" if isinstance(network, IPv4Network) else "6"
    if not rest:
        return [f"{family}{digits[:whole]}"]
    first = int(digits[whole], 16)
    return [f"{family}{digits[:whole]}{digit:X}" for digit in range(first, first + 2 ** (4 - rest))]


def _group(end: Endpoint) -> str:
    return CANARY if end.canary else end.process


def _flags(routes: AppRoutes) -> str:
    policy, limits, canary = routes.policy, routes.policy.limits, routes.canary
    wanted = {
        "M": policy.maintenance,
        "m": policy.maintenance_page,
        "e": policy.error_page,
        "h": policy.canonical_host,
        "t": policy.https_only,
        "s": policy.hsts_seconds,
        "b": limits.body,
        "g": limits.headers,
        "R": limits.rate,
        "r": limits.client_rate,
        "O": limits.open,
        "o": limits.client_open,
        "T": policy.timeout_seconds,
        "i": policy.allowed,
        "u": policy.auth,
        "k": policy.sticky,
        "p": routes.paths,
        "y": canary and canary.percent,
        "v": canary and canary.token,
        "2": policy.http2,
    }
    return "".join(letter for letter, counts in wanted.items() if counts)
