"""Validate traffic settings. Returns the value to store, or raises ValueRefused."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from portal.errors import ValueRefused
from portal.traffic.autoscale import Target
from portal.traffic.models import TrafficSettings, Way

# bytes as the router stores it: a response must fit its buffer, and an escaped character needs
# three bytes
LONGEST_PAGE = 10_000
MOST_NETWORKS, MOST_PATHS, MOST_STEPS, MOST_NAMES = 100, 20, 10, 100
_TOKEN = re.compile(r"[A-Za-z0-9-]{0,64}")
# the only paths that the router supports
_PREFIX = re.compile(r"(?=.{2,200}$)(/[A-Za-z0-9_.~%+,:@=-]+)+")
# in addition to letters and digits; the router stores all other characters in three bytes each
_KEPT_AS_IT_IS = "/<>='#:,.!()[]{}*-_~@$&|^`"
_PROCESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_NUMBERS = {  # field: (name in messages, minimum, maximum)
    "surge": ("The number of extra instances during a rolling rollout", 1, 10),
    "drain_seconds": ("The drain time", 0, 3600),
    "hold_seconds": ("The hold time", 0, 300),
    "timeout_seconds": ("The time limit", 0, 24 * 3600),
    "body_limit": ("The body limit", 0, 2**40),
    "header_limit": ("The header limit", 0, 15_000),
    "rate": ("The rate", 0, 1_000_000),
    "client_rate": ("The rate of one client", 0, 1_000_000),
    "open_limit": ("The limit of open requests", 0, 1_000_000),
    "client_open_limit": ("The limit of open requests of one client", 0, 1_000_000),
    "sleep_minutes": ("The time until the app sleeps", 0, 60 * 24 * 365),
    "stop_minutes": ("The time until a sleeping app is stopped", 0, 60 * 24 * 365),
    "autoscale_value": ("The autoscaling target", 1, 1_000_000),
    "autoscale_least": ("The minimum number of instances", 1, 1000),
    "autoscale_most": ("The maximum number of instances", 1, 1000),
    "hsts_seconds": ("The HSTS time", 0, 2 * 365 * 24 * 3600),
}
_SWITCHES = (
    "sticky",
    "http2",
    "keep_alive",
    "jobs_keep_awake",
    "workers_keep_awake",
    "https_only",
    "maintenance",
    "autoscale",
)


def checked(
    changes: Mapping[str, object], *, processes: Sequence[str], hosts: Sequence[str]
) -> dict[str, object]:
    """Return the values to store. `processes` and `hosts` belong to the app. ValueRefused names the
    wrong field."""
    return {field: _check(field, value, processes, hosts) for field, value in changes.items()}


def check_autoscaling(row: TrafficSettings) -> None:
    """Check the rules across fields: the bounds are in order, and a percentage is possible."""
    if row.autoscale_least > row.autoscale_most:
        sentence = (
            f"The minimum of {row.autoscale_least} instances is larger than the maximum of"
            f" {row.autoscale_most}."
        )
        raise ValueRefused(
            sentence, field="autoscale_most", hint="Raise the maximum, or lower the minimum."
        )
    if row.autoscale_target == Target.CPU and row.autoscale_value > 95:
        sentence = f"A CPU target of {row.autoscale_value} % is too high."
        raise ValueRefused(
            sentence,
            field="autoscale_value",
            hint="Use 95 or less. A target of 70 leaves room for a sudden rise.",
        )


def _check(field: str, value: object, processes: Sequence[str], hosts: Sequence[str]) -> object:
    if field == "sleep_minutes" and value is None:
        return None
    if field in _NUMBERS:
        return _number(field, value)
    if field in _SWITCHES:
        if not isinstance(value, bool):
            raise ValueRefused(
                f"{field} must be true or false.", field=field, hint="Use true or false."
            )
        return value
    if field == "canonical_host":
        return _host(value, hosts)
    if field == "paths":
        return _paths(value, processes)
    if (check := _OTHERS.get(field)) is None:
        known = ", ".join(sorted((*_NUMBERS, *_SWITCHES, *_OTHERS, "canonical_host", "paths")))
        raise ValueRefused(
            f"{field} is not a valid traffic setting.",
            field=field,
            hint=f"The settings are {known}.",
        )
    return check(value)


def _number(field: str, value: object) -> int:
    what, least, most = _NUMBERS[field]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueRefused(
            f"{what} cannot be {value}.",
            field=field,
            hint=f"Use a number from {least:,} to {most:,}.",
        )
    return value


def _way(value: object) -> str:
    if value not in Way.values:
        raise ValueRefused(
            f"{value!r} is not a valid rollout strategy.",
            field="way",
            hint=f"Use one of {', '.join(Way.values)}.",
        )
    return str(value)


def _target(value: object) -> str:
    known = [str(target) for target in Target]
    if value not in known:
        hint = f"Use one of {', '.join(known)}."
        raise ValueRefused(
            f"{value!r} is not a valid autoscaling target.", field="autoscale_target", hint=hint
        )
    return str(value)


def _steps(value: object) -> list[list[int]]:
    hint = (
        "A step has a share of 1 to 99 % and 0 to 86,400 seconds. Each share is larger than the"
        " previous one: 1 % for 60 s, 10 % for 60 s."
    )
    if not isinstance(value, list) or len(value) > MOST_STEPS:
        raise ValueRefused(
            f"A canary has at most {MOST_STEPS} steps.", field="canary_steps", hint=hint
        )
    before = 0
    for step in value:
        pair = (
            step
            if isinstance(step, list | tuple)
            and len(step) == 2
            and all(type(part) is int for part in step)
            else None
        )
        if pair is None or not before < pair[0] <= 99 or not 0 <= pair[1] <= 86_400:
            raise ValueRefused(
                f"{step!r} is not a valid canary step.", field="canary_steps", hint=hint
            )
        before = pair[0]
    return [list(step) for step in value]


def _token(value: object) -> str:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ValueRefused(
            "This is not a valid preview token.",
            field="preview_token",
            hint="Use up to 64 letters, digits and hyphens.",
        )
    return value


def _page(field: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str) or "\0" in value:
            raise ValueRefused(
                "This is not a valid page.", field=field, hint="A page is HTML as text."
            )
        if (size := _kept_size(value)) > LONGEST_PAGE:
            hint = (
                "Move images and long styles to other files and link to them, or simplify the page."
            )
            raise ValueRefused(
                f"This page needs {size:,} bytes in the router. The limit is {LONGEST_PAGE:,}.",
                field=field,
                hint=hint,
            )
        return value.replace("\r\n", "\n")

    return check


def _kept_size(page: str) -> int:
    """Return the length of the router's map entry: joined lines, entities for characters outside
    ASCII, and many others as %XX."""
    line = re.sub(r"\s*[\r\n]+\s*", " ", page).encode("ascii", "xmlcharrefreplace").decode()
    # plus a comment with the request's id, if the page has no place for it
    return len(quote(line, safe=_KEPT_AS_IT_IS)) + 40


def _networks(value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > MOST_NETWORKS:
        raise ValueRefused(
            f"At most {MOST_NETWORKS} networks are allowed.",
            field="allowed",
            hint="Combine adjacent networks.",
        )
    found = []
    for text in value:
        try:
            found.append(str(ipaddress.ip_network(str(text), strict=False)))
        except ValueError:
            hint = "Use for example 203.0.113.7, 198.51.100.0/24 or 2001:db8::/32."
            raise ValueRefused(
                f"{text!r} is not a valid address or network.", field="allowed", hint=hint
            ) from None
    return found


def _host(value: object, hosts: Sequence[str]) -> str:
    if value and value not in hosts:
        raise ValueRefused(
            f"{value!r} is not a host of this app.",
            field="canonical_host",
            hint=f"Its hosts are {', '.join(hosts)}.",
        )
    return str(value or "")


def _paths(value: object, processes: Sequence[str]) -> list[list[str]]:
    hint = "A route has a path such as /api and a process type of the app."
    if not isinstance(value, list) or len(value) > MOST_PATHS:
        raise ValueRefused(
            f"An app has at most {MOST_PATHS} path routes.", field="paths", hint=hint
        )
    found: dict[str, str] = {}
    for route in value:
        if (
            not isinstance(route, list | tuple)
            or len(route) != 2
            or not _PREFIX.fullmatch(str(route[0]))
            or "//" in str(route[0])
        ):
            raise ValueRefused(f"{route!r} is not a valid path route.", field="paths", hint=hint)
        prefix, process = str(route[0]), str(route[1])
        if not _PROCESS.fullmatch(process) or (processes and process not in processes):
            raise ValueRefused(
                f"The process type {process} of the route {prefix} does not exist.",
                field="paths",
                hint=f"The process types are {', '.join(processes)}.",
            )
        if prefix in found:
            raise ValueRefused(
                f"The path {prefix} has two routes.", field="paths", hint="Remove one of them."
            )
        found[prefix] = process
    return [[prefix, process] for prefix, process in found.items()]


_OTHERS: dict[str, Callable[[object], object]] = {
    "way": _way,
    "autoscale_target": _target,
    "canary_steps": _steps,
    "preview_token": _token,
    "maintenance_page": _page("maintenance_page"),
    "error_page": _page("error_page"),
    "allowed": _networks,
}
