"""Which host names may be an app's own domain. Pure but for the names of this Slipway, which are settings."""

from __future__ import annotations

import ipaddress
import re

from django.conf import settings

from portal.errors import ValueRefused

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})+")
_KEPT = ("localhost", "local", "internal", "invalid", "onion")  # top-level names that nobody can show to be theirs


def check_host(text: str) -> str:
    """The name as it is stored; ValueRefused says what is wrong with it. Whose it is, is for a proof to tell."""
    host = text.strip().lower().rstrip(".")
    if "://" in host or "/" in host or ":" in host:
        raise _refused(f"{text.strip()!r} is an address, not a host name.", "Leave out http://, the port and the path: shop.example.com")
    if not host.isascii():
        raise _refused(f"{host} has letters outside ASCII.", "Write it as DNS has it: each such label begins with xn--.")
    if len(host) > 253 or not _HOST.fullmatch(host) or host.count(".") < (2 if host.startswith("*.") else 1):
        raise _refused(f"{host!r} is no host name.", "Write for example shop.example.com, or *.example.com for all names below.")
    if _is_address(host) or host.rpartition(".")[2] in _KEPT:
        raise _refused(f"{host} is a name that nobody can prove to be theirs.", "Use a domain that is registered to you.")
    for ours in (settings.BASE_DOMAIN, settings.PORTAL_HOST):
        below = host.removeprefix("*.")
        if below == ours or below.endswith(f".{ours}") or (host.startswith("*.") and ours.partition(".")[2] == below):
            raise _refused(f"{host} belongs to this Slipway.", f"Names below {settings.BASE_DOMAIN} come with an app's name.")
    return host


def base_of(host: str) -> str:
    """The name that a proof is about: the host itself, or what a wildcard stands below."""
    return host.removeprefix("*.")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _refused(sentence: str, hint: str) -> ValueRefused:
    return ValueRefused(sentence, field="host", hint=hint)
