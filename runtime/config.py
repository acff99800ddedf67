"""One node's settings, and where each of its files lives. The runtime's only reader of the environment."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from runtime.contract.quantities import Bytes
from runtime.errors import HostLacks


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Settings of this node. Two nodes with different names, folders, networks and ports live on one machine.

    `name` prefixes everything global to the kernel: bridge, cgroup parent, nftables table; 1 to 8 of [a-z0-9].
    """

    name: str = "slipway"
    state: Path = Path("/var/lib/slipway")  # durable
    run: Path = Path("/run/slipway")  # sockets and namespace pins; gone after a reboot
    user: str = "slipway"  # portal, git and router run as this one
    network: ipaddress.IPv4Network = ipaddress.IPv4Network("10.210.0.0/16")
    http_bind: str = "127.0.0.1"
    http_port: int = 8080
    https_port: int = 0  # 0: no HTTPS of our own
    acme_directory: str = "https://acme-v02.api.letsencrypt.org/directory"
    acme_contact: str = ""  # an e-mail address that the authority may write to
    acme_dns_hook: Path | None = None  # a program that writes DNS records, for certificates of wildcards
    resolver: str = ""  # address or address:port of the DNS server that domains are proven by; empty: this machine's own
    proxy_protocol: bool = False  # every connection from browsers begins with the PROXY protocol's line
    trusted_proxies: tuple[str, ...] = ()  # networks of HTTP proxies in front, whose headers about the visitor are believed
    queue_seconds: int = 30  # how long a request waits in the router for an instance that is not full
    portal_workers: int = 0  # processes of the portal; 0: one a core, four at most
    client_share: int = 50  # percent of the router's connections that one client's address alone may hold; 100: no limit
    scheme: str = "http"
    portal_host: str = "localhost"
    base_domain: str = "slipway.localhost"
    debian_mirror: str = ""  # for hosts whose apt has no Debian repository
    disk_high: int = 85  # percent of the state's disk in use: from here on caches are given up…
    disk_low: int = 75  # …until no more than this is in use
    disk_full: int = 95  # and from here on no build begins
    disk_reserve: int = 256 * 2**20  # bytes held back, and given up when the disk is full
    cache_size: int = 10 * 2**30  # bytes of layers kept only to be reused
    package_cache: int = 4 * 2**30  # bytes of downloads, for each team
    memory_stall_high: int = 20  # percent of time in which something waits for memory: from here on builds are frozen…
    memory_stall_low: int = 5  # …until it is no more than this
    memory_free_low: int = 5  # percent of memory available: the same, where the kernel does not tell of stalls…
    memory_free_enough: int = 10
    registries: tuple[str, ...] = ()  # patterns of HOST or HOST/PATH that builds may pull from; none: any
    registry_mirrors: tuple[tuple[str, str], ...] = ()  # (host, HOST[/PATH] that is asked in its place)
    plain_registries: tuple[str, ...] = ()  # hosts spoken to without TLS, or whatever their certificate
    pull_timeout: int = 600  # seconds one image may take

    @property
    def images(self) -> Path:
        """OCI image layout: oci-layout, index.json, blobs/."""
        return self.state / "images"

    @property
    def layers(self) -> Path:
        """Unpacked layers, one folder a diff ID (hex)."""
        return self.state / "layers"

    @property
    def cache(self) -> Path:
        """Build steps by key, and package downloads."""
        return self.state / "cache"

    @property
    def stacks(self) -> Path:
        """The operator's own stack files, NAME.toml."""
        return self.state / "stacks"

    @property
    def workspaces(self) -> Path:
        """One folder a build or stack in progress; gone when it ends."""
        return self.state / "builds"

    @property
    def sources(self) -> Path:
        """Uploaded archives by sha256 hex; written by the portal, read by builds."""
        return self.state / "sources"

    @property
    def registry(self) -> Path:
        """What the registry receives and hands out."""
        return self.state / "registry"

    @property
    def received(self) -> Path:
        """TEAM-HEX: blobs that the portal received and checked, until a release is made of them."""
        return self.registry / "received"

    @property
    def served(self) -> Path:
        """APP/IMAGE/HEX: hard links to blobs of releases, for the portal to hand out."""
        return self.registry / "served"

    @property
    def instances(self) -> Path:
        """One folder an instance: its journal, bundle, scratch disk, console log."""
        return self.state / "instances"

    @property
    def locks(self) -> Path:
        """Files held by flock: the kernel lets go when the holder dies."""
        return self.state / "locks"

    @property
    def app_logs(self) -> Path:
        """APP.log: what all instances of an app printed, in the one log line format."""
        return self.state / "logs" / "apps"

    @property
    def build_logs(self) -> Path:
        """BUILD_ID.log, in the one log line format."""
        return self.state / "logs" / "builds"

    @property
    def downloads(self) -> Path:
        """JOB_ID.tar: archives of images that somebody asked for, read by the portal."""
        return self.state / "downloads"

    @property
    def router(self) -> Path:
        """Maps and configuration of the router."""
        return self.state / "router"

    @property
    def certificates(self) -> Path:
        """Certificates with their keys, one PEM file each, and the account at their authority."""
        return self.state / "router" / "certificates"

    @property
    def router_socket(self) -> Path:
        """HAProxy's Runtime API."""
        return self.run / "router.sock"

    @property
    def access_address(self) -> tuple[str, int]:
        """Where the collector of the access log listens for HAProxy: on a loopback address of this node's own, told by its folder."""
        own = hashlib.sha256(bytes(self.run.absolute())).digest()
        port = 20_000 + int.from_bytes(own[3:5]) % 10_000  # below those that the kernel gives away, and nobody's by custom
        return f"127.{own[0]}.{own[1]}.{own[2] % 254 + 1}", port

    @property
    def requests(self) -> Path:
        """APP.json: what is known of an app's requests since the node was started."""
        return self.run / "requests"

    @property
    def pulses(self) -> Path:
        """APP.json: which instances fail their health checks, since the node was started."""
        return self.run / "pulses"

    @property
    def wake_socket(self) -> Path:
        """Where HAProxy asks to have a sleeping app woken."""
        return self.run / "wake.sock"

    @property
    def portal_socket(self) -> Path:
        """Where the portal listens for the router."""
        return self.run / "portal.sock"

    @property
    def bridge(self) -> str:
        """The bridge's interface name (at most 15 bytes, IFNAMSIZ)."""
        return f"{self.name}0"

    @property
    def cgroup_parent(self) -> str:
        """Below each hierarchy's root, without a leading slash."""
        return self.name

    @property
    def https_ourselves(self) -> bool:
        """Whether people reach us by HTTPS and the router speaks it, not something in front of it."""
        return self.scheme == "https" and bool(self.https_port)

    @property
    def portal_has_certificate(self) -> bool:
        """Whether browsers can be led to HTTPS there: no authority speaks for addresses, nor for names of this very machine."""
        top = self.portal_host.rpartition(".")[2]
        return self.https_ourselves and "." in self.portal_host and not top.isdecimal() and top not in ("localhost", "invalid")

    def url_of(self, host: str) -> str:
        """The address a browser opens for one of our hosts."""
        standard = {"http": 80, "https": 443}[self.scheme]
        open_port = self.https_port if self.https_ourselves else self.http_port
        port = "" if open_port == standard else f":{open_port}"
        return f"{self.scheme}://{host}{port}"


_PACKAGE_VARIABLES = re.compile(
    r"(?i:https?_proxy|all_proxy|no_proxy)|(?:PIP|UV|NPM_CONFIG)_\w+|SSL_CERT_(?:FILE|DIR)|REQUESTS_CA_BUNDLE|NODE_EXTRA_CA_CERTS|HOME"
    r"|GO(?:ENV|PROXY|SUMDB|NOSUMDB|NOPROXY|PRIVATE|INSECURE|VCS|AUTH)|(?:BUNDLE|COMPOSER)_\w+"
)


def package_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What this host tells pip, uv, npm, go, bundler, composer and apt by environment: registries, proxies, certificates, and where HOME is."""
    return {name: value for name, value in environment.items() if _PACKAGE_VARIABLES.fullmatch(name)}


def passed_descriptors(process: int, environment: Mapping[str, str] = os.environ) -> list[int]:
    """Open sockets that the service manager passed to this process (sd_listen_fds(3)); none where it passed them to another."""
    if environment.get("LISTEN_PID") != str(process):
        return []
    return list(range(3, 3 + int(environment.get("LISTEN_FDS", "0"))))


def proxy_ports(environment: Mapping[str, str] = os.environ) -> tuple[int, ...]:
    """Where the proxies listen that this host's environment names; one may be on this machine."""
    ports: set[int] = set()
    for name, value in environment.items():
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy") and value:
            parts = urlsplit(value if "://" in value else f"http://{value}")
            with suppress(ValueError):  # no number: whoever uses the proxy says so
                ports.add(parts.port or {"https": 443, "socks5": 1080}.get(parts.scheme, 80))
    return tuple(sorted(ports))


def from_environment(environment: Mapping[str, str] = os.environ) -> NodeConfig:
    """Read SLIPWAY_* settings (see .env.example for each); HostLacks names a bad one and how to write it."""
    values: dict[str, object] = {}
    for field, read in _READERS.items():
        variable = f"SLIPWAY_{field.upper()}"
        if text := environment.get(variable, "").strip():
            try:
                values[field] = read(text)
            except ValueError as error:
                raise HostLacks(f"The setting {variable}={text!r} is not usable: {error}.", hint="Correct it in .env.") from None
    return NodeConfig(**values)  # type: ignore[arg-type]  # keys and types are those of _READERS, one a field


def process_environment(file: Path) -> dict[str, str]:
    """What our processes are started with: the lines NAME=value of `.env`, and over them what the shell has set.

    HostLacks names a line that is neither that, nor empty, nor a comment.
    """
    settings: dict[str, str] = {}
    for number, line in enumerate(file.read_text().splitlines() if file.exists() else (), 1):
        match = re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*", line)
        if match:
            settings[match[1]] = match[2].strip("\"'")
        elif line.strip() and not line.lstrip().startswith("#"):
            raise HostLacks(f"Line {number} of {file} is not a setting: {line.strip()!r}.", hint="Write NAME=value, or # before a remark.")
    return {**settings, **os.environ}


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9]{0,7}", text):
        raise ValueError("1 to 8 lower-case letters and digits, a letter first")
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
        raise ValueError("http or https")
    return text


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("yes or no")
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
            raise ValueError("each reads HOST=MIRROR, such as docker.io=mirror.internal:5000/hub, without http://")
        found.append((host, mirror.rstrip("/")))
    return tuple(found)


_READERS: dict[str, Callable[[str], object]] = {
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
    "pull_timeout": _seconds,
}
