"""The name of an image of a registry, as FROM and `docker pull` take it; and from which registries it may come. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Self

from runtime.config import NodeConfig

HUB = "docker.io"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?:(?P<host>{_HOST})/)?(?P<path>{_PATH}(?:/{_PATH})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?",
    re.ASCII,
)


class Reach(IntEnum):
    """How far who fetches may be led by a registry: the group it runs in, by which the firewall knows it (`runtime.network.firewall`).

    A registry may redirect, or hand out its tokens elsewhere. The last ids before those of teams.
    """

    ANYWHERE = 0
    OUTWARD = 999_999  # not to this machine or its apps
    PUBLIC = 999_998  # nor into private networks


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteName:
    """`docker.io/library/debian:12`: nothing left to guess."""

    host: str
    path: str
    tag: str = ""
    digest: str = ""  # goes before the tag

    @classmethod
    def parse(cls, text: str) -> Self:
        """By Docker's rules: without a host it is Docker Hub, there without a folder `library`, without a tag `latest`.

        ValueError names a text that cannot be such a name.
        """
        match = _NAME.fullmatch(text) if len(text) <= 512 else None
        if match is None:
            raise ValueError(f"{text[:80]!r} is no name of an image")
        host, path = match["host"] or "", match["path"]
        if host and not (set(host) & {".", ":"} or host == "localhost"):  # `user/app` of Docker Hub
            host, path = "", f"{host}/{path}"
            if not re.fullmatch(rf"{_PATH}(?:/{_PATH})*", path):
                raise ValueError(f"{text[:80]!r} is no name of an image: capitals can only be in a host or a tag")
        if host in ("", "index.docker.io"):
            host, path = HUB, path if "/" in path else f"library/{path}"
        digest = match["digest"] or ""
        return cls(host=host, path=path, tag=match["tag"] or ("" if digest else "latest"), digest=digest)

    @property
    def repository(self) -> str:
        return f"{self.host}/{self.path}"

    def __str__(self) -> str:
        """As skopeo takes it, which wants a tag or a digest, not both."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registries:
    """What the operator of a node says of registries."""

    allowed: tuple[str, ...] = ()  # patterns of HOST or HOST/PATH; none: all are
    mirrors: tuple[tuple[str, str], ...] = ()  # (host, HOST[/PATH] that is asked instead)
    plain: tuple[str, ...] = ()  # hosts without TLS, or with a certificate nobody vouches for
    network: ipaddress.IPv4Network | None = None  # the apps' own, in which nothing is a registry

    @classmethod
    def of(cls, config: NodeConfig) -> Self:
        return cls(allowed=config.registries, mirrors=config.registry_mirrors, plain=config.plain_registries, network=config.network)

    def allows(self, name: RemoteName) -> bool:
        """A stranger's Dockerfile may not have this machine itself spoken to, unless the operator named the address."""
        return self.are_named(name) or (not self.allowed and not _is_this_machine(name.host))

    def are_named(self, name: RemoteName) -> bool:
        """Whether the operator speaks of this one."""
        return any(_covers(pattern, name) for pattern in self.allowed) or name.host in self.plain

    def is_inside(self, address: str) -> bool:
        """Whether an address, as a name was looked up, is this machine's or an app's."""
        found = ipaddress.ip_address(address)
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        own = found.is_loopback or found.is_link_local or found.is_unspecified
        return own or (self.network is not None and found.version == 4 and found in self.network)

    def asked(self, name: RemoteName) -> RemoteName:
        """Where the image is fetched."""
        mirror = dict(self.mirrors).get(name.host)
        if mirror is None:
            return name
        host, _, folder = mirror.partition("/")
        return RemoteName(host=host, path=f"{folder}/{name.path}".lstrip("/"), tag=name.tag, digest=name.digest)

    def is_plain(self, name: RemoteName) -> bool:
        return name.host in self.plain


def _is_this_machine(host: str) -> bool:
    """Loopback and link-local addresses, as they are written; what a name leads to is looked up before it is asked."""
    bare = bare_host(host)
    if bare == "localhost" or bare.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local or address.is_unspecified


def bare_host(host: str) -> str:
    """Without port and brackets."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _covers(pattern: str, name: RemoteName) -> bool:
    host, slash, path = pattern.partition("/")
    if not fnmatchcase(name.host, host):
        return False
    return not slash or name.path == path or fnmatchcase(name.path, f"{path.removesuffix('/*')}/*")
