"""An app's routes as entries of HAProxy's maps. Pure.

`host.map` and `wild.map` map a host to its app's whole record, `app|slot|situation|flags|…`. A
change of the record is a single command, so a policy takes effect between two requests. A request
needs a single lookup; with many apps, lookups are the largest part of its cost.

The record of an app with many hosts is in `app.map`, and its host entries only name the app.
Without that, a change would need a search through the whole map for each host.

A flag is a letter that says that a field is in use. The frontend's rules check the letters first.
`path.map` holds a shorter record for each path, `slot|situation|process`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from runtime.router import pages
from runtime.router.routes import WEB, AppRoutes, AppSituation, Endpoint, PathRoute

CANARY = "@canary"  # the group of canary endpoints; not a valid process type
RATE_PERIOD = 10  # seconds over which rates are averaged

SITUATIONS = {
    AppSituation.SERVING: "S",
    AppSituation.NO_INSTANCE: "N",
    AppSituation.CRASHED: "C",
    AppSituation.ASLEEP: "Z",
    AppSituation.HOLDING: "W",
    AppSituation.NOT_DEPLOYED: "D",
}
# The record's fields, in order. The comment names the flag under which a field is read. The records
# of most apps end after the flags.
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
FEW_HOSTS = 4  # an app with at most this many hosts has its record in the host map
_ALWAYS = FIELDS.index("flags") + 1
PLAIN = (  # end of a record of an app that serves without a policy
    f"|{SITUATIONS[AppSituation.SERVING]}|-"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps:
    """Paths of HAProxy's map files. The path is also the map's name in the Runtime API."""

    folder: Path

    @property
    def hosts(self) -> Path:
        """Return the path of the map from a host to its app's record or to its app."""
        return self.folder / "host.map"

    @property
    def wild(self) -> Path:
        """Return the path of the map for wildcard hosts. Its keys lack the host's first label."""
        return self.folder / "wild.map"

    @property
    def apps(self) -> Path:
        """Return the path of the map from an app with many hosts to its record."""
        return self.folder / "app.map"

    @property
    def paths(self) -> Path:
        """Return the path of the map from `APP/PREFIX/` to a path's record.

        The longest match wins.
        """
        return self.folder / "path.map"

    @property
    def allow(self) -> Path:
        """Return the path of the map of allowed addresses.

        Its keys are `APP/4HEX` or `APP/6HEX`: the beginning of an allowed address in hexadecimal.
        The longest match wins.
        """
        return self.folder / "allow.map"

    @property
    def auth(self) -> Path:
        """Return the path of the map from `APP/DIGEST` to the user's name."""
        return self.folder / "auth.map"

    @property
    def custom(self) -> Path:
        """Return the path of the map from `APP/KIND` and `APP/KIND-tail` to the halves of a custom
        page.
        """
        return self.folder / "custom.map"

    @property
    def acme(self) -> Path:
        """Return the path of the map from an ACME challenge's token to its answer."""
        return self.folder / "acme.map"

    @property
    def pages(self) -> Path:
        """Return the path of the map from an error code and a format to the page's body."""
        return self.folder / "pages.map"

    @property
    def of_apps(self) -> tuple[Path, ...]:
        """Return the maps that are rendered from the apps' routes, in the order of changes.

        A record comes after the entries that it refers to.
        """
        return (self.paths, self.allow, self.auth, self.custom, self.apps, self.wild, self.hosts)

    def looks_up_beginnings(self, path: Path) -> bool:
        """Return whether `get map` finds the longest prefix in this map.

        Then it does not show whether a key exists.
        """
        return path in (self.paths, self.allow)


def slot_name(slot: int) -> str:
    """Return the name of a slot's backend."""
    return f"b{slot:05d}"


def groups(routes: AppRoutes) -> list[str]:
    """Return the groups of servers that each need a slot.

    These are web, each process type with a path, and the canary.
    """
    found = {
        WEB,
        *(path.process for path in routes.paths),
        *(_group(end) for end in routes.endpoints),
    }
    return sorted(found | ({CANARY} if routes.canary else set()))


def members(routes: AppRoutes, group: str) -> tuple[Endpoint, ...]:
    """Return a group's endpoints."""
    return tuple(end for end in routes.endpoints if _group(end) == group)


def app_entries(
    maps: Maps, routes: AppRoutes, slots: Mapping[str, int]
) -> dict[Path, dict[str, str]]:
    """Return all entries of an app, by map."""
    policy, record = routes.policy, app_record(routes, slots)
    few = len(routes.hosts) <= FEW_HOSTS
    value = record if few else routes.app
    auth = (
        {
            f"{routes.app}/{credential.digest}": credential.name
            for credential in policy.auth.credentials
        }
        if policy.auth
        else {}
    )
    return {
        maps.paths: {
            f"{routes.app}{path.prefix}/": path_record(path, slots) for path in routes.paths
        },
        maps.allow: {
            f"{routes.app}/{start}": "1"
            for network in policy.allowed
            for start in hex_beginnings(network)
        },
        maps.auth: auth,
        maps.custom: dict(pages.custom_entries(routes.app, policy)),
        maps.apps: {} if few else {routes.app: record},
        maps.wild: {
            host.removeprefix("*."): value for host in routes.hosts if host.startswith("*.")
        },
        maps.hosts: {host: value for host in routes.hosts if not host.startswith("*.")},
    }


def app_record(routes: AppRoutes, slots: Mapping[str, int]) -> str:
    """Return an app's record."""
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


def app_of(value: str) -> str:
    """Return the app of a host from the host's value in `host.map` or `wild.map`."""
    return value.partition("|")[0]


def path_record(path: PathRoute, slots: Mapping[str, int]) -> str:
    """Return a path's value in `path.map`."""
    return f"{slot_name(slots[path.process])}|{SITUATIONS[path.situation]}|{path.process}"


def hex_beginnings(network: IPv4Network | IPv6Network) -> list[str]:
    """Return the hexadecimal prefixes that match exactly the network's addresses.

    There is one, or up to eight if the network's prefix ends within a digit.
    """
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
    return "".join(letter for letter, is_set in wanted.items() if is_set)
