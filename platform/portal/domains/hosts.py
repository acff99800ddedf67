"""Check which hostnames may be the domain of an app. Pure, except that the names of this Slipway
are settings."""

from __future__ import annotations

import ipaddress
import re

from django.conf import settings

from portal.errors import ValueRefused

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})+")
# top-level names that nobody can own
_KEPT = ("localhost", "local", "internal", "invalid", "onion")


def check_host(text: str) -> str:
    """Return the name as it is stored, or raise ValueRefused. The verification checks later who
    owns it."""
    host = text.strip().lower().rstrip(".")
    if "://" in host or "/" in host or ":" in host:
        raise _refused(
            f"{text.strip()!r} is a URL, not a hostname.",
            "Leave out http://, the port and the path: shop.example.com",
        )
    if not host.isascii():
        raise _refused(
            f"{host} has letters outside ASCII.",
            "Use the encoded form of DNS, where each such label begins with xn--.",
        )
    if (
        len(host) > 253
        or not _HOST.fullmatch(host)
        or host.count(".") < (2 if host.startswith("*.") else 1)
    ):
        raise _refused(
            f"{host!r} is not a valid hostname.",
            "Use a name like shop.example.com, or *.example.com for all names below.",
        )
    if _is_address(host) or host.rpartition(".")[2] in _KEPT:
        raise _refused(
            f"Nobody can own the name {host}.", "Use a domain that is registered to you."
        )
    for ours in (settings.BASE_DOMAIN, settings.PORTAL_HOST):
        below = host.removeprefix("*.")
        if (
            below == ours
            or below.endswith(f".{ours}")
            or (host.startswith("*.") and ours.partition(".")[2] == below)
        ):
            raise _refused(
                f"{host} belongs to this Slipway.",
                f"Names below {settings.BASE_DOMAIN} are the default hostnames of apps.",
            )
    return host


def base_of(host: str) -> str:
    """Return the name that the verification is about: the host, or the parent name of a
    wildcard."""
    return host.removeprefix("*.")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _refused(sentence: str, hint: str) -> ValueRefused:
    return ValueRefused(sentence, field="host", hint=hint)
