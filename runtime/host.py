"""The check of this machine (`make doctor`): what the platform needs, what is missing, the remedy.

It changes nothing. It runs on Python 3.11 before any package is installed, so it imports only the
standard library and modules of this package. `look` reads the machine; `lacks` decides and is pure.
"""

from __future__ import annotations

import errno
import gzip
import ipaddress
import os
import platform
import re
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.config import NodeConfig
from runtime.contract.quantities import Bytes

OLDEST_KERNEL = (6, 1)
OLDEST_PYTHON = (3, 11)
DISK_FRESH = Bytes.parse("5G")  # base stack, runtimes, a few apps
DISK_LATER = Bytes.parse("500M")
MEMORY = Bytes.parse("1G")
CONTROLLERS = frozenset({"cpu", "memory", "pids"})
CANNOT_IDMAP = frozenset(
    {"overlay", "nfs", "nfs4", "cifs", "9p", "fuseblk", "vfat", "exfat", "ecryptfs", "aufs"}
)  # mount_setattr(2), NOTES
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}  # linux/capability.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A feature that the kernel needs: its build option, and its module, if it can be one."""

    name: str
    option: str
    module: str


FEATURES = (
    Feature(name="overlay file systems", option="CONFIG_OVERLAY_FS", module="overlay"),
    Feature(name="user namespaces", option="CONFIG_USER_NS", module=""),
    Feature(name="network namespaces", option="CONFIG_NET_NS", module=""),
    Feature(name="nftables", option="CONFIG_NF_TABLES", module="nf_tables"),
    Feature(name="bridges", option="CONFIG_BRIDGE", module="bridge"),
    Feature(name="virtual Ethernet pairs", option="CONFIG_VETH", module="veth"),
    Feature(name="loop devices", option="CONFIG_BLK_DEV_LOOP", module="loop"),
    Feature(name="ext4", option="CONFIG_EXT4_FS", module="ext4"),
    Feature(name="seccomp filters", option="CONFIG_SECCOMP_FILTER", module=""),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """The observed facts of the machine.

    Text that could not be read is empty. A feature that cannot be checked counts as present.
    """

    root: bool
    capabilities: frozenset[str]
    python: tuple[int, int]
    package_tool: str  # apt-get, dnf or empty
    machine: str
    kernel: tuple[int, int]
    missing_features: tuple[Feature, ...]
    user_namespaces: int  # the most that may exist
    controllers: frozenset[str]
    cgroups_writable: bool
    state_filesystem: str
    state_exists: bool
    disk_free: Bytes
    memory: Bytes
    port_trouble: str  # empty: free
    used_networks: tuple[tuple[ipaddress.IPv4Network, str], ...]  # range, interface


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingRequirement:
    """A missing requirement and its remedy."""

    what: str
    remedy: str

    def describe(self) -> str:
        return f"{self.what}: {self.remedy}."


def look(config: NodeConfig, *, port_is_ours: bool = False) -> MachineFacts:
    """Read the machine. `port_is_ours`: the platform runs, and itself uses the port."""
    folder = next(path for path in (config.state, *config.state.parents) if path.exists())
    return MachineFacts(
        root=os.geteuid() == 0,
        capabilities=frozenset(_capabilities()),
        python=(sys.version_info.major, sys.version_info.minor),
        package_tool=next((tool for tool in ("apt-get", "dnf") if shutil.which(tool)), ""),
        machine=platform.machine(),
        kernel=_kernel(platform.release()),
        missing_features=tuple(feature for feature in FEATURES if not _offers(feature)),
        user_namespaces=int(_read("/proc/sys/user/max_user_namespaces") or 1),
        controllers=frozenset(_controllers()),
        cgroups_writable=all(os.access(hierarchy, os.W_OK) for hierarchy in _hierarchies()),
        state_filesystem=_filesystem(folder),
        state_exists=config.state.exists() and any(config.state.iterdir()),
        disk_free=Bytes(shutil.disk_usage(folder).free),
        memory=Bytes(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        port_trouble="" if port_is_ours else _port_trouble(config.http_bind, config.http_port),
        used_networks=tuple(_networks(ours=config.name)),
    )


def lacks(host: MachineFacts, config: NodeConfig) -> list[MissingRequirement]:
    """Return all missing requirements with remedies. If the list is empty, `make up` can start."""
    return [
        MissingRequirement(what=what, remedy=remedy)
        for what, remedy in (*_rights(host), *_kernel_lacks(host, config), *_room(host, config))
    ]


def _rights(host: MachineFacts) -> Iterator[tuple[str, str]]:
    if not host.root:
        yield (
            "Slipway needs root to create namespaces, mounts and firewall rules",
            "run it as root, for example `sudo make up`",
        )
    elif absent := sorted(CAPABILITIES.keys() - host.capabilities):
        yield (
            f"This root lacks {' and '.join(absent)}",
            "run on the machine itself, or in a container started with --privileged",
        )
    if host.python < OLDEST_PYTHON:
        yield (
            (
                f"Python is {host.python[0]}.{host.python[1]}, but Slipway needs"
                f" {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer"
            ),
            "install a newer python3 (Debian 12, Ubuntu 24.04 and Fedora have one)",
        )
    if not host.package_tool:
        yield (
            "Neither apt-get nor dnf is installed",
            "use Debian 12 or newer, Ubuntu 24.04 or newer, or Fedora",
        )
    if host.machine not in {"x86_64", "aarch64"}:
        yield f"The processor is {host.machine}", "use an x86_64 or aarch64 machine"


def _kernel_lacks(host: MachineFacts, config: NodeConfig) -> Iterator[tuple[str, str]]:
    if host.kernel < OLDEST_KERNEL:
        old, new = (".".join(map(str, version)) for version in (host.kernel, OLDEST_KERNEL))
        yield (
            f"The kernel is {old}, but layers that teams share need {new} or newer",
            "boot a newer kernel",
        )
    for feature in host.missing_features:
        remedy = f"boot a kernel with {feature.option}"
        if feature.module:
            remedy += (
                f", or install the package with its module {feature.module} (and reboot, if the"
                " kernel was just upgraded)"
            )
        yield f"The kernel does not support {feature.name}", remedy
    if host.user_namespaces == 0:
        yield (
            "User namespaces are disabled",
            "run `sysctl user.max_user_namespaces=15000` and put the line in /etc/sysctl.d",
        )
    if absent := sorted(CONTROLLERS - host.controllers):
        yield (
            f"The cgroup controllers {', '.join(absent)} are not available",
            (
                "mount cgroup v2 at /sys/fs/cgroup, and if memory is missing, add"
                " `cgroup_enable=memory` to the kernel's command line"
            ),
        )
    elif host.root and not host.cgroups_writable:
        yield (
            "/sys/fs/cgroup is read-only",
            "run on the machine itself, or in a container started with --privileged",
        )
    if host.state_filesystem in CANNOT_IDMAP:
        yield (
            (
                f"The state folder {config.state} is on {host.state_filesystem}, which does not"
                " support idmapped mounts"
            ),
            "set SLIPWAY_STATE in .env to a folder on ext4, XFS or Btrfs",
        )


def _room(host: MachineFacts, config: NodeConfig) -> Iterator[tuple[str, str]]:
    if host.port_trouble:
        yield (
            host.port_trouble,
            "stop that program, or set SLIPWAY_HTTP_PORT in .env to a free port",
        )
    for network, interface in host.used_networks:
        if network.overlaps(config.network):
            yield (
                f"The apps' network {config.network} overlaps {network}, which {interface} uses",
                (
                    "set SLIPWAY_NETWORK in .env to a free private range, for example"
                    f" {free_network(host)}"
                ),
            )
    needed = DISK_LATER if host.state_exists else DISK_FRESH
    if host.disk_free < needed:
        yield (
            f"{config.state} has {host.disk_free} free of the {needed} needed",
            "delete files, or set SLIPWAY_STATE in .env to a folder on a larger disk",
        )
    if host.memory < MEMORY * 0.95:  # firmware reserves some memory of a 1 GiB machine
        yield f"The machine has {host.memory} of memory", f"use one with {MEMORY} or more"


def free_network(host: MachineFacts) -> ipaddress.IPv4Network:
    """Return a private /16 network that no interface uses."""
    candidates = (ipaddress.IPv4Network(f"10.{second}.0.0/16") for second in range(211, 255))
    return next(
        (
            each
            for each in candidates
            if not any(each.overlaps(used) for used, _ in host.used_networks)
        ),
        ipaddress.IPv4Network("172.30.0.0/16"),
    )


def _capabilities() -> Iterator[str]:
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", _read("/proc/self/status"), re.MULTILINE)
    effective = int(found[1], 16) if found else 0
    return (name for name, bit in CAPABILITIES.items() if effective >> bit & 1)


def _kernel(release: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _offers(feature: Feature) -> bool:
    """Return whether the kernel has a feature: built in, loaded, or loadable as a module.

    If that is unknown, return true: its first use will fail with an error.
    """
    release = platform.release()
    if feature.module and (Path("/sys/module") / feature.module).exists():
        return True
    modules = Path("/lib/modules") / release
    loadable = (
        re.search(
            rf"/{feature.module}\.ko",
            _read(modules / "modules.dep") + _read(modules / "modules.builtin"),
        )
        if feature.module
        else None
    )
    if loadable:
        return True
    options = _kernel_options(release)
    if not options:
        return True
    return f"{feature.option}=y" in options  # =m without the module's file: not loadable


def _kernel_options(release: str) -> frozenset[str]:
    try:
        return frozenset(
            gzip.decompress(Path("/proc/config.gz").read_bytes()).decode().splitlines()
        )
    except OSError:
        text = _read(f"/boot/config-{release}") or _read(f"/lib/modules/{release}/config")
        return frozenset(text.splitlines())


def _controllers() -> Iterator[str]:
    """Yield the controllers of cgroup v2's root and of all mounted v1 hierarchies (cgroups(7))."""
    yield from _read("/sys/fs/cgroup/cgroup.controllers").split()
    for line in _read("/proc/self/mountinfo").splitlines():
        kind, _, options = line.partition(" - ")[2].split(" ", 2)
        if kind == "cgroup":
            yield from options.split(" ")[-1].split(",")


def _hierarchies() -> Iterator[str]:
    """Yield the mount points of control groups.

    With v1 they are below /sys/fs/cgroup, which systemd itself makes read-only.
    """
    for line in _read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in ("cgroup", "cgroup2"):
            yield left.split()[4]


def _filesystem(folder: Path) -> str:
    """Return the type of a folder's file system: that of the longest mount point above it."""
    best, kind = "", ""
    for line in _read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4].replace("\\040", " ")
        if folder.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind


def _port_trouble(address: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # a connection in TIME_WAIT does not count
        try:
            probe.bind((address, port))
        except OSError as error:
            match error.errno:
                case errno.EADDRINUSE:
                    return f"Port {port} on {address} is in use by {_holder(port)}"
                case errno.EADDRNOTAVAIL:
                    return (
                        f"The address {address} of SLIPWAY_HTTP_BIND belongs to no interface of"
                        " this machine"
                    )
                case errno.EACCES:
                    return ""  # a low port without root, which is already reported
                case _:
                    raise
    return ""


def _holder(port: int) -> str:
    """Return the program that listens on a port: the process with the socket's inode open."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _read(table).splitlines()[1:]:
            fields = line.split()
            if (
                fields[3] == "0A"
                and int(fields[1].rpartition(":")[2], 16) == port
                and (name := _owner(f"socket:[{fields[9]}]"))
            ):
                return name
    return "another program"


def _owner(link: str) -> str:
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(str(entry.readlink()) == link for entry in folder.iterdir()):
                return f"{_read(folder.parent / 'comm').strip()} (process {folder.parent.name})"
        except OSError:
            continue  # the process ended, or is not readable for us
    return ""


def _networks(*, ours: str) -> Iterator[tuple[ipaddress.IPv4Network, str]]:
    """Yield the destinations in the routing table, without the default route and our own bridges.

    The format is hex in host byte order (proc_pid_net(5)).
    """
    for line in _read("/proc/net/route").splitlines()[1:]:
        interface, destination, *rest = line.split()
        mask = int(rest[5], 16)
        if mask and not interface.startswith(ours):
            address, netmask = (
                ipaddress.IPv4Address(number.to_bytes(4, sys.byteorder))
                for number in (int(destination, 16), mask)
            )
            yield ipaddress.IPv4Network(f"{address}/{netmask}", strict=False), interface


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
