"""Validation of an app's routes. Pure.

Their values go into files and commands without escaping, so only names and numbers are valid.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from runtime.errors import RouterRefused
from runtime.router.map_entries import members
from runtime.router.pages import CUSTOM_AT_MOST, custom_parts
from runtime.router.policy import Policy
from runtime.router.routes import AppRoutes, Endpoint

_APP = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_HOST = re.compile(r"(?=.{1,253}$)(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
_PROCESS = re.compile(r"[A-Za-z0-9_-]{1,63}")
_PREFIX = re.compile(r"(/[A-Za-z0-9_.~%+,:@=-]+)+")
_WORD = re.compile(r"[A-Za-z0-9-]{1,128}")
_PERSON = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LARGEST = 2**53  # largest value of any number; HAProxy's own limit is 2**63


def is_app(name: str) -> bool:
    """Return whether this is a valid name of an app."""
    return _APP.fullmatch(name) is not None


def check(routes: AppRoutes) -> None:
    """Raise RouterRefused with the first invalid value."""
    for wrong in _unusable(routes):
        raise RouterRefused(
            f"The routes of {routes.app!r} contain {wrong!r}, which is not a valid name, address or"
            " number."
        )
    for group in {(end.canary, end.process) for end in routes.endpoints}:
        names = [end.instance for end in routes.endpoints if (end.canary, end.process) == group]
        if len(set(names)) != len(names):
            raise RouterRefused(f"The routes of {routes.app} contain an instance twice.")
    for page in (routes.policy.maintenance_page, routes.policy.error_page):
        size = sum(map(len, custom_parts(page)))
        if size > CUSTOM_AT_MOST:
            raise RouterRefused(
                f"A custom page of {routes.app} has {size} bytes; the limit is {CUSTOM_AT_MOST}.",
                hint=(
                    "Remove embedded images and long styles: link to them, or make the page"
                    " shorter."
                ),
            )


def _unusable(routes: AppRoutes) -> Iterator[str]:
    yield from [] if is_app(routes.app) else [routes.app]
    yield from (host for host in routes.hosts if not _HOST.fullmatch(host))
    for end in routes.endpoints:
        yield from _unusable_endpoint(end)
    for path in routes.paths:
        yield from (
            [] if _PREFIX.fullmatch(path.prefix) and len(path.prefix) < 512 else [path.prefix]
        )
        yield from [] if _PROCESS.fullmatch(path.process) else [path.process]
    if routes.canary:
        yield from [] if 0 <= routes.canary.percent <= 100 else [str(routes.canary.percent)]
        yield from (
            []
            if not routes.canary.token or _WORD.fullmatch(routes.canary.token)
            else [routes.canary.token]
        )
        yield from [] if members(routes, "@canary") else ["a canary without endpoints"]
    yield from _unusable_policy(routes.policy)


def _unusable_endpoint(end: Endpoint) -> Iterator[str]:
    yield from [] if _INSTANCE.fullmatch(end.instance) else [end.instance]
    yield from [] if _PROCESS.fullmatch(end.process) else [end.process]
    yield from [] if 0 < end.port < 65536 else [str(end.port)]
    yield from [] if 0 <= end.weight <= 256 else [str(end.weight)]
    try:
        ipaddress.IPv4Address(end.address)
    except ValueError:
        yield end.address


def _unusable_policy(policy: Policy) -> Iterator[str]:
    limits = policy.limits
    numbers = [
        limits.body,
        limits.headers,
        limits.rate,
        limits.client_rate,
        limits.open,
        limits.client_open,
    ]
    numbers += [policy.hsts_seconds, policy.timeout_seconds, policy.hold_seconds]
    yield from (str(number) for number in numbers if not 0 <= number <= _LARGEST)
    if policy.canonical_host and (
        not _HOST.fullmatch(policy.canonical_host) or policy.canonical_host.startswith("*")
    ):
        yield policy.canonical_host
    if policy.auth:
        yield from [] if _WORD.fullmatch(policy.auth.salt) else [policy.auth.salt]
        for credential in policy.auth.credentials:
            yield from [] if _PERSON.fullmatch(credential.name) else [credential.name]
            yield from [] if _DIGEST.fullmatch(credential.digest) else [credential.digest]
