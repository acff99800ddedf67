"""Settings of a node and paths of its files. Only this module reads the runtime's environment."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from runtime.errors import HostLacks
from runtime.setting_parsers import PARSERS


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """Settings of this node.

    Nodes with different names, folders, networks and ports can share a machine. `name` is the
    prefix of all global names in the kernel: bridge, cgroup parent, nftables table. It has 1 to 8
    of [a-z0-9].
    """

    name: str = "slipway"
    state: Path = Path("/var/lib/slipway")  # durable
    run: Path = Path("/run/slipway")  # sockets and namespace pins; gone after a reboot
    user: str = "slipway"  # the user of portal, git and router
    network: ipaddress.IPv4Network = ipaddress.IPv4Network("10.210.0.0/16")
    http_bind: str = "127.0.0.1"
    http_port: int = 8080
    https_port: int = 0  # 0: the router does not offer HTTPS
    acme_directory: str = "https://acme-v02.api.letsencrypt.org/directory"
    acme_contact: str = ""  # an e-mail address for messages of the certificate authority
    acme_dns_hook: Path | None = None  # a program that writes DNS records, for wildcards
    resolver: str = ""  # address[:port] of the DNS server for domain checks; empty: this machine's
    proxy_protocol: bool = False  # every connection from clients starts with a PROXY protocol line
    # Networks of HTTP proxies whose headers about the client are trusted.
    trusted_proxies: tuple[str, ...] = ()
    queue_seconds: int = 30  # the most seconds that a request waits for a free instance
    portal_workers: int = 0  # processes of the portal; 0: one per core, at most four
    client_share: int = 50  # the most percent of the router's connections per client address
    scheme: str = "http"
    portal_host: str = "localhost"
    base_domain: str = "slipway.localhost"
    debian_mirror: str = ""  # for hosts whose apt has no Debian repository
    disk_high: int = 85  # percent of the state's disk in use at which caches are deleted,
    disk_low: int = 75  # until the use is at most this
    disk_full: int = 95  # percent in use at which no build starts
    disk_reserve: int = 256 * 2**20  # bytes that are reserved, and released when the disk is full
    cache_size: int = 10 * 2**30  # bytes of layers that are kept only for reuse
    package_cache: int = 4 * 2**30  # bytes of downloads, for each team
    memory_stall_high: int = 20  # percent of time with stalls for memory: builds are frozen,
    memory_stall_low: int = 5  # until it is at most this
    memory_free_low: int = 5  # percent of memory available, if the kernel does not report stalls
    memory_free_enough: int = 10
    registries: tuple[str, ...] = ()  # patterns HOST or HOST/PATH for pulls of builds; none: any
    registry_mirrors: tuple[tuple[str, str], ...] = ()  # (host, HOST[/PATH] that replaces it)
    plain_registries: tuple[str, ...] = ()  # hosts without TLS, or with unchecked certificates
    substitutes: bool = False  # stacks may be used for official images that cannot be fetched
    git_hosts: tuple[str, ...] = ()  # hosts of Git repositories that may be local or plain HTTP
    pull_timeout: int = 600  # the most seconds for the pull of an image

    @property
    def images(self) -> Path:
        """Return the OCI image layout: oci-layout, index.json, blobs/."""
        return self.state / "images"

    @property
    def layers(self) -> Path:
        """Return the folder of unpacked layers, one folder per diff ID (hex)."""
        return self.state / "layers"

    @property
    def cache(self) -> Path:
        """Return the folder of build steps by key, and of package downloads."""
        return self.state / "cache"

    @property
    def disk_templates(self) -> Path:
        """Return the folder of empty disk images by size, which private disks are copies of."""
        return self.cache / "scratch"

    @property
    def stacks(self) -> Path:
        """Return the folder of the operator's own stack files, NAME.toml."""
        return self.state / "stacks"

    @property
    def workspaces(self) -> Path:
        """Return the workspaces: one folder for each running build of an app or a stack."""
        return self.state / "builds"

    @property
    def sources(self) -> Path:
        """Return the folder of uploads by sha256 hex. The portal writes them; builds read them."""
        return self.state / "sources"

    @property
    def registry(self) -> Path:
        """Return the folder of the registry."""
        return self.state / "registry"

    @property
    def received(self) -> Path:
        """Return the folder of TEAM-HEX: checked blobs that are not in a release yet."""
        return self.registry / "received"

    @property
    def served(self) -> Path:
        """Return the folder of APP/IMAGE/HEX: hard links to releases' blobs, which clients pull."""
        return self.registry / "served"

    @property
    def instances(self) -> Path:
        """Return the folder of instances: each has a journal, bundle, disk and console log."""
        return self.state / "instances"

    @property
    def volumes(self) -> Path:
        """Return the folder of volumes: each has its disk, its snapshots and its mount point."""
        return self.state / "volumes"

    @property
    def locks(self) -> Path:
        """Return the folder of flock files. The kernel releases a lock when its holder ends."""
        return self.state / "locks"

    @property
    def app_logs(self) -> Path:
        """Return the folder of APP.log: the output of all instances, in the format of log lines."""
        return self.state / "logs" / "apps"

    @property
    def build_logs(self) -> Path:
        """Return the folder of BUILD_ID.log, in the format of log lines."""
        return self.state / "logs" / "builds"

    @property
    def downloads(self) -> Path:
        """Return the folder of JOB_ID.tar: requested image archives, which the portal reads."""
        return self.state / "downloads"

    @property
    def router(self) -> Path:
        """Return the folder of the router's maps and configuration."""
        return self.state / "router"

    @property
    def certificates(self) -> Path:
        """Return the folder of certificates with keys (PEM) and of the ACME account."""
        return self.state / "router" / "certificates"

    @property
    def router_socket(self) -> Path:
        """Return the socket of HAProxy's Runtime API."""
        return self.run / "router.sock"

    @property
    def access_address(self) -> tuple[str, int]:
        """Return the address of the access log's collector.

        It is a loopback address that is derived from the path of the folder `run`.
        """
        own = hashlib.sha256(bytes(self.run.absolute())).digest()
        # Below the kernel's ephemeral ports, and not used by common programs.
        port = 20_000 + int.from_bytes(own[3:5]) % 10_000
        return f"127.{own[0]}.{own[1]}.{own[2] % 254 + 1}", port

    @property
    def requests(self) -> Path:
        """Return the folder of APP.json: an app's requests since the node's start."""
        return self.run / "requests"

    @property
    def pulses(self) -> Path:
        """Return the folder of APP.json: results of health checks since the node's start."""
        return self.run / "pulses"

    @property
    def wake_socket(self) -> Path:
        """Return the socket on which HAProxy requests that a sleeping app is woken."""
        return self.run / "wake.sock"

    @property
    def portal_socket(self) -> Path:
        """Return the socket on which the portal listens for the router."""
        return self.run / "portal.sock"

    @property
    def bridge(self) -> str:
        """Return the bridge's interface name (at most 15 bytes, IFNAMSIZ)."""
        return f"{self.name}0"

    @property
    def cgroup_parent(self) -> str:
        """Return the path of our parent group below each hierarchy's root, without a slash."""
        return self.name

    @property
    def https_ourselves(self) -> bool:
        """Return whether the router itself terminates HTTPS."""
        return self.scheme == "https" and bool(self.https_port)

    @property
    def portal_has_certificate(self) -> bool:
        """Return whether the portal's host can have a certificate.

        Authorities do not issue them for addresses and for names of the local machine.
        """
        top = self.portal_host.rpartition(".")[2]
        return (
            self.https_ourselves
            and "." in self.portal_host
            and not top.isdecimal()
            and top not in ("localhost", "invalid")
        )

    def url_of(self, host: str) -> str:
        """Return the URL of one of our hosts."""
        standard = {"http": 80, "https": 443}[self.scheme]
        open_port = self.https_port if self.https_ourselves else self.http_port
        port = "" if open_port == standard else f":{open_port}"
        return f"{self.scheme}://{host}{port}"


_PACKAGE_VARIABLES = re.compile(
    r"(?i:https?_proxy|all_proxy|no_proxy)|(?:PIP|UV|NPM_CONFIG)_\w+|SSL_CERT_(?:FILE|DIR)|REQUESTS_CA_BUNDLE|NODE_EXTRA_CA_CERTS|HOME"
    r"|GO(?:ENV|PROXY|SUMDB|NOSUMDB|NOPROXY|PRIVATE|INSECURE|VCS|AUTH)|(?:BUNDLE|COMPOSER)_\w+"
)


def package_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables for package managers: registries, proxies, certificates, HOME.

    The package managers are pip, uv, npm, go, bundler, composer and apt.
    """
    return {
        name: value for name, value in environment.items() if _PACKAGE_VARIABLES.fullmatch(name)
    }


def passed_descriptors(process: int, environment: Mapping[str, str] = os.environ) -> list[int]:
    """Return the sockets that the service manager passed to this process (sd_listen_fds(3)).

    The list is empty if it passed them to another process.
    """
    if environment.get("LISTEN_PID") != str(process):
        return []
    return list(range(3, 3 + int(environment.get("LISTEN_FDS", "0"))))


def proxy_ports(environment: Mapping[str, str] = os.environ) -> tuple[int, ...]:
    """Return the ports of the proxies in the environment; a proxy may be on this machine."""
    ports: set[int] = set()
    for name, value in environment.items():
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy") and value:
            parts = urlsplit(value if "://" in value else f"http://{value}")
            with suppress(ValueError):  # not a number: the program that uses the proxy reports it
                ports.add(parts.port or {"https": 443, "socks5": 1080}.get(parts.scheme, 80))
    return tuple(sorted(ports))


def from_environment(environment: Mapping[str, str] = os.environ) -> NodeConfig:
    """Read the SLIPWAY_* settings (see .env.example). Raises HostLacks, which names a bad one."""
    values: dict[str, object] = {}
    for field, parse in PARSERS.items():
        variable = f"SLIPWAY_{field.upper()}"
        if text := environment.get(variable, "").strip():
            try:
                values[field] = parse(text)
            except ValueError as error:
                raise HostLacks(
                    f"The setting {variable}={text!r} is not valid: {error}.",
                    hint="Correct it in .env.",
                ) from None
    return NodeConfig(**values)  # type: ignore[arg-type]  # keys and types are those of PARSERS, one for each field


def process_environment(file: Path) -> dict[str, str]:
    """Return the environment of the platform's processes.

    It has the lines NAME=value of `.env`. The shell's own variables have precedence. Raises
    HostLacks, which names a line that is not a setting, a comment or empty.
    """
    settings: dict[str, str] = {}
    for number, line in enumerate(file.read_text().splitlines() if file.exists() else (), 1):
        match = re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*", line)
        if match:
            settings[match[1]] = match[2].strip("\"'")
        elif line.strip() and not line.lstrip().startswith("#"):
            raise HostLacks(
                f"Line {number} of {file} is not a setting: {line.strip()!r}.",
                hint="Write NAME=value, or # before a comment.",
            )
    return {**settings, **os.environ}
