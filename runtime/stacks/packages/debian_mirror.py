"""Find the source of Debian packages: the setting `debian_mirror`, the host's own apt, or
mmdebstrap's default.

This code has no address. On a host other than Debian, apt has none, and mmdebstrap uses the
mirror of its package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runtime import process
from runtime.config import NodeConfig
from runtime.errors import HostLacks

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_FIELDS = "$(CREATED_BY)|$(REPO_URI)|$(COMPONENT)|$(ORIGIN)|$(LABEL)"
# apt's settings for downloads; a stack does not use the other settings of the host's apt
_FETCHING = (
    "Acquire::http",
    "Acquire::https",
    "Acquire::Retries",
    "Acquire::ForceIPv",
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
)
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Package sources for one suite, and apt's settings for downloads from them."""

    sources: tuple[str, ...]  # lines of a sources.list; none if mmdebstrap has to use its own
    settings: tuple[str, ...]  # lines of an apt.conf


def find_mirror(
    config: NodeConfig, suite: str, *, of_apt: Callable[[], tuple[str, str]] | None = None
) -> Mirror:
    """Return the host's Debian mirror (and its security archive, if it has one) for `suite`.

    HostLacks: Debian's keys are missing.
    """
    main, security = (config.debian_mirror, "") if config.debian_mirror else (of_apt or _from_apt)()
    if not _KEYRING.exists():
        raise HostLacks(
            f"The keys of Debian's archive are missing: {_KEYRING}.",
            hint="apt-get install debian-archive-keyring",
        )
    if not main:
        return Mirror(sources=(), settings=tuple(_settings()))
    lines = [
        f"deb [signed-by={_KEYRING}] {main} {part} main" for part in (suite, f"{suite}-updates")
    ]
    if security:
        lines.append(f"deb [signed-by={_KEYRING}] {security} {suite}-security main")
    return Mirror(sources=tuple(lines), settings=tuple(_settings()))


def _from_apt() -> tuple[str, str]:
    """Return (main, security) addresses from apt's own list of its downloads; "" if there is
    none.
    """
    listed = process.run(["apt-get", "indextargets", "--format", _FIELDS]).stdout.decode()
    rows = [line.split("|") for line in listed.splitlines()]
    packages = [
        (uri, origin, label)
        for by, uri, component, origin, label in rows
        if by == "Packages" and component == "main"
    ]
    main = security = ""
    for uri, origin, label in packages:
        path = uri.rstrip("/")
        if origin not in ("Debian", "$(ORIGIN)"):  # the latter: apt has not fetched this list yet
            continue
        if label == "Debian-Security" or path.endswith("debian-security"):
            security = security or uri
        elif label == "Debian" or path.endswith("debian"):
            main = main or uri
    return main, security


def _settings() -> list[str]:
    """Return the host's settings for downloads: proxy, certificates, time-outs."""
    dumped = process.run(["apt-config", "dump"]).stdout.decode().splitlines()
    lines = [line for line in dumped if line.startswith(_FETCHING) and not line.endswith('"";')]
    if _CA_BUNDLE.exists() and not any(line.startswith("Acquire::https::CAInfo") for line in lines):
        lines.append(f'Acquire::https::CAInfo "{_CA_BUNDLE}";')
    return lines
