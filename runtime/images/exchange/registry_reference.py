"""The name of an image in a registry, as for FROM and `docker pull`, and the allowed registries.

Pure.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Self

from runtime.config import NodeConfig

HUB = "docker.io"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_PATH}(?:/{_PATH})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)


class RedirectScope(IntEnum):
    """The addresses that a registry may redirect a pull to.

    Values are group ids, the last before those of teams. The client runs in that group, and the
    firewall applies the rules of the group (`runtime.network.firewall`). A registry may redirect,
    or name another server for its tokens.
    """

    ANYWHERE = 0
    OUTWARD = 999_999  # not to this machine or its apps
    PUBLIC = 999_998  # also not into private networks


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteName:
    """A complete name of an image, such as `docker.io/library/debian:12`."""

    host: str
    path: str
    tag: str = ""
    digest: str = ""  # has precedence over the tag

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a name by Docker's rules. Raises ValueError if it is not valid.

        The default host is Docker Hub, its default folder is `library`, the default tag is
        `latest`.
        """
        match = _NAME.fullmatch(text) if len(text) <= 512 else None
        if match is None:
            raise ValueError(f"{text[:80]!r} is not a valid image name")
        host, path = match["host"] or "", match["path"]
        if host and not (set(host) & {".", ":"} or host == "localhost"):  # `user/app` of Docker Hub
            host, path = "", f"{host}/{path}"
            if not re.fullmatch(rf"{_PATH}(?:/{_PATH})*", path):
                raise ValueError(
                    f"{text[:80]!r} is not a valid image name: only a host or a tag may have"
                    " capital letters"
                )
        if host in ("", "index.docker.io"):
            host, path = HUB, path if "/" in path else f"library/{path}"
        digest = match["digest"] or ""
        return cls(
            host=host, path=path, tag=match["tag"] or ("" if digest else "latest"), digest=digest
        )

    @property
    def repository(self) -> str:
        return f"{self.host}/{self.path}"

    def __str__(self) -> str:
        """Return the name for skopeo, which accepts a tag or a digest, not both."""
        return (
            f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    """The operator's settings for registries."""

    allowed: tuple[str, ...] = ()  # patterns of HOST or HOST/PATH; none: all are allowed
    mirrors: tuple[tuple[str, str], ...] = ()  # (host, HOST[/PATH] that is used instead)
    plain: tuple[str, ...] = ()  # hosts without TLS, or with an untrusted certificate
    network: ipaddress.IPv4Network | None = None  # the apps' network, which has no registries

    @classmethod
    def of(cls, config: NodeConfig) -> Self:
        return cls(
            allowed=config.registries,
            mirrors=config.registry_mirrors,
            plain=config.plain_registries,
            network=config.network,
        )

    def allows(self, name: RemoteName) -> bool:
        """Return whether builds may use the registry. This machine itself must be named."""
        return self.is_configured(name) or (not self.allowed and not _is_this_machine(name.host))

    def is_configured(self, name: RemoteName) -> bool:
        """Return whether the operator's settings name this registry."""
        return any(_covers(pattern, name) for pattern in self.allowed) or name.host in self.plain

    def is_inside(self, address: str) -> bool:
        """Return whether a resolved address belongs to this machine or to an app."""
        found = ipaddress.ip_address(address)
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        own = found.is_loopback or found.is_link_local or found.is_unspecified
        return own or (self.network is not None and found.version == 4 and found in self.network)

    def pull_name(self, name: RemoteName) -> RemoteName:
        """Return the name under which the image is pulled: the mirror's, if there is one."""
        mirror = dict(self.mirrors).get(name.host)
        if mirror is None:
            return name
        host, _, folder = mirror.partition("/")
        return RemoteName(
            host=host, path=f"{folder}/{name.path}".lstrip("/"), tag=name.tag, digest=name.digest
        )

    def is_plain(self, name: RemoteName) -> bool:
        return name.host in self.plain


def _is_this_machine(host: str) -> bool:
    """Return whether the host is written as a loopback or link-local address.

    Addresses of names are checked before the pull.
    """
    bare = bare_host(host)
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local or address.is_unspecified


def bare_host(host: str) -> str:
    """Return the host without port and brackets."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _covers(pattern: str, name: RemoteName) -> bool:
    host, slash, path = pattern.partition("/")
    if not fnmatchcase(name.host, host):
        return False
    return not slash or name.path == path or fnmatchcase(name.path, f"{path.removesuffix('/*')}/*")
