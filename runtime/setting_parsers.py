"""Parsers of the node's settings: the text of each SLIPWAY_* variable to its value. No I/O.

A parser raises ValueError, which says how to write the value.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path

from runtime.contract.quantities import Bytes


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]{0,7}", text):
        raise ValueError("use 1 to 8 lower-case letters and digits, a letter first")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return int(text)


def _server(text: str) -> str:
    address, _, port = text.partition(":")
    ipaddress.IPv4Address(address)
    if port:
        _port(port)
    return text


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(word, strict=False)) for word in _words(text))


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise ValueError("the path must be absolute")
    return path


def _scheme(text: str) -> str:
    if text not in ("http", "https"):
        raise ValueError("use http or https")
    return text


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("use yes or no")
    return text == "yes"


def _seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 3600:
        raise ValueError("seconds are a number from 1 to 3600")
    return int(text)


def _processes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise ValueError("processes are a number from 1 to 64")
    return int(text)


def _percent(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise ValueError("a percentage is a number from 1 to 100")
    return int(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[\s,]+", text) if word)


def _mirrors(text: str) -> tuple[tuple[str, str], ...]:
    found = []
    for word in _words(text):
        host, equals, mirror = word.partition("=")
        if not (host and equals and mirror) or "://" in mirror:
            raise ValueError(
                "write each as HOST=MIRROR, such as docker.io=mirror.internal:5000/hub, without"
                " http://"
            )
        found.append((host, mirror.rstrip("/")))
    return tuple(found)


PARSERS: dict[str, Callable[[str], object]] = {
    "name": _name,
    "state": _absolute,
    "run": _absolute,
    "user": str,
    "network": ipaddress.IPv4Network,
    "http_bind": str,
    "http_port": _port,
    "https_port": _port,
    "acme_directory": str,
    "acme_contact": str,
    "acme_dns_hook": _absolute,
    "resolver": _server,
    "proxy_protocol": _yes,
    "trusted_proxies": _addresses,
    "queue_seconds": _seconds,
    "client_share": _percent,
    "portal_workers": _processes,
    "scheme": _scheme,
    "portal_host": str.lower,
    "base_domain": str.lower,
    "debian_mirror": str,
    "disk_high": _percent,
    "disk_low": _percent,
    "disk_full": _percent,
    "disk_reserve": Bytes.parse,
    "cache_size": Bytes.parse,
    "package_cache": Bytes.parse,
    "memory_stall_high": _percent,
    "memory_stall_low": _percent,
    "memory_free_low": _percent,
    "memory_free_enough": _percent,
    "registries": _words,
    "registry_mirrors": _mirrors,
    "plain_registries": _words,
    "substitutes": _yes,
    "git_hosts": _words,
    "pull_timeout": _seconds,
}
