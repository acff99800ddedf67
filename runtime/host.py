"""The doctor: what this machine has, what it lacks for us, and the remedy. Looks only; changes nothing.

Runs on any Python 3.11 before a single package is installed, so it imports the standard library and its neighbours alone.
`look` reads the machine, `lacks` decides from what was read, and is pure.
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
    """Something the kernel must have been built with: its option, and the module where it is one."""

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
class Host:
    """What was seen. Text that could not be read is empty; a feature nobody can tell about counts as present."""

    root: bool
    capabilities: frozenset[str]
    python: tuple[int, int]
    package_tool: str  # apt-get, dnf or empty
    machine: str
    kernel: tuple[int, int]
    missing_features: tuple[Feature, ...]
    user_namespaces: int  # how many may exist
    controllers: frozenset[str]
    cgroups_writable: bool
    state_filesystem: str
    state_exists: bool
    disk_free: Bytes
    memory: Bytes
    port_trouble: str  # empty: free
    used_networks: tuple[tuple[ipaddress.IPv4Network, str], ...]  # range, interface


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """One thing that is missing, and what to do about it."""

    what: str
    remedy: str

    def describe(self) -> str:
        return f"{self.what}: {self.remedy}."


def look(config: NodeConfig, *, port_is_ours: bool = False) -> Host:
    """Read the machine. `port_is_ours`: the platform runs, and the port is taken by itself."""
    folder = next(path for path in (config.state, *config.state.parents) if path.exists())
    return Host(
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


def lacks(host: Host, config: NodeConfig) -> list[Lack]:
    """All that stands in the way, each with its remedy; an empty list means `make up` can go ahead."""
    return [Lack(what=what, remedy=remedy) for what, remedy in (*_rights(host), *_kernel_lacks(host, config), *_room(host, config))]


def _rights(host: Host) -> Iterator[tuple[str, str]]:
    if not host.root:
        yield "Slipway makes namespaces, mounts and firewall rules, which takes root", "run it as root, for example `sudo make up`"
    elif absent := sorted(CAPABILITIES.keys() - host.capabilities):
        yield f"This root lacks {' and '.join(absent)}", "run on the machine itself, or in a container started with --privileged"
    if host.python < OLDEST_PYTHON:
        yield (
            f"Python is {host.python[0]}.{host.python[1]}, and {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} is the oldest that will do",
            "install a newer python3 (Debian 12, Ubuntu 24.04 and Fedora have one)",
        )
    if not host.package_tool:
        yield "Neither apt-get nor dnf is here to install packages with", "use Debian 12 or newer, Ubuntu 24.04 or newer, or Fedora"
    if host.machine not in {"x86_64", "aarch64"}:
        yield f"The processor is {host.machine}", "use an x86_64 or aarch64 machine"


def _kernel_lacks(host: Host, config: NodeConfig) -> Iterator[tuple[str, str]]:
    if host.kernel < OLDEST_KERNEL:
        old, new = (".".join(map(str, version)) for version in (host.kernel, OLDEST_KERNEL))
        yield f"The kernel is {old}, and layers shared between teams need {new} or newer", "boot a newer kernel"
    for feature in host.missing_features:
        remedy = f"boot a kernel with {feature.option}"
        if feature.module:
            remedy += f", or install the package with its module {feature.module} (and reboot, if the kernel was just upgraded)"
        yield f"The kernel offers no {feature.name}", remedy
    if host.user_namespaces == 0:
        yield "User namespaces are switched off", "run `sysctl user.max_user_namespaces=15000` and put the line in /etc/sysctl.d"
    if absent := sorted(CONTROLLERS - host.controllers):
        yield (
            f"The cgroup controllers {', '.join(absent)} are not available",
            "mount cgroup v2 at /sys/fs/cgroup, and add `cgroup_enable=memory` to the kernel's command line if memory is the one",
        )
    elif host.root and not host.cgroups_writable:
        yield "/sys/fs/cgroup is read-only", "run on the machine itself, or in a container started with --privileged"
    if host.state_filesystem in CANNOT_IDMAP:
        yield (
            f"The state folder {config.state} would lie on {host.state_filesystem}, which cannot show a layer under other ids",
            "set SLIPWAY_STATE in .env to a folder on ext4, XFS or Btrfs",
        )


def _room(host: Host, config: NodeConfig) -> Iterator[tuple[str, str]]:
    if host.port_trouble:
        yield host.port_trouble, "stop that program, or set SLIPWAY_HTTP_PORT in .env to a free port"
    for network, interface in host.used_networks:
        if network.overlaps(config.network):
            yield (
                f"The apps' network {config.network} overlaps {network}, which {interface} uses",
                f"set SLIPWAY_NETWORK in .env to a free private range, for example {free_network(host)}",
            )
    needed = DISK_LATER if host.state_exists else DISK_FRESH
    if host.disk_free < needed:
        yield f"{config.state} has {host.disk_free} free of the {needed} needed", "free some, or set SLIPWAY_STATE in .env to a larger disk"
    if host.memory < MEMORY * 0.95:  # firmware keeps a little of a 1 GiB machine
        yield f"The machine has {host.memory} of memory", f"use one with {MEMORY} or more"


def free_network(host: Host) -> ipaddress.IPv4Network:
    """A private /16 no interface uses."""
    candidates = (ipaddress.IPv4Network(f"10.{second}.0.0/16") for second in range(211, 255))
    return next(
        (each for each in candidates if not any(each.overlaps(used) for used, _ in host.used_networks)),
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
    """Running already, built in, or a module that is there to be loaded; unknown counts as yes (the use of it will tell)."""
    release = platform.release()
    if feature.module and (Path("/sys/module") / feature.module).exists():
        return True
    modules = Path("/lib/modules") / release
    loadable = (
        re.search(rf"/{feature.module}\.ko", _read(modules / "modules.dep") + _read(modules / "modules.builtin"))
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
        return frozenset(gzip.decompress(Path("/proc/config.gz").read_bytes()).decode().splitlines())
    except OSError:
        text = _read(f"/boot/config-{release}") or _read(f"/lib/modules/{release}/config")
        return frozenset(text.splitlines())


def _controllers() -> Iterator[str]:
    """Of cgroup v2 at its root, and of every v1 hierarchy that is mounted (cgroups(7))."""
    yield from _read("/sys/fs/cgroup/cgroup.controllers").split()
    for line in _read("/proc/self/mountinfo").splitlines():
        kind, _, options = line.partition(" - ")[2].split(" ", 2)
        if kind == "cgroup":
            yield from options.split(" ")[-1].split(",")


def _hierarchies() -> Iterator[str]:
    """Where control groups are mounted. With v1 that is below /sys/fs/cgroup, which systemd itself makes read-only."""
    for line in _read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in ("cgroup", "cgroup2"):
            yield left.split()[4]


def _filesystem(folder: Path) -> str:
    """The kind of file system a folder lies on: the longest mount point above it."""
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
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection in TIME_WAIT does not count
        try:
            probe.bind((address, port))
        except OSError as error:
            match error.errno:
                case errno.EADDRINUSE:
                    return f"Port {port} on {address} is taken by {_holder(port)}"
                case errno.EADDRNOTAVAIL:
                    return f"The address {address} of SLIPWAY_HTTP_BIND belongs to no interface of this machine"
                case errno.EACCES:
                    return ""  # a low port and no root, which is told already
                case _:
                    raise
    return ""


def _holder(port: int) -> str:
    """The program that listens on a port, by the socket's inode among everybody's open files."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _read(table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port and (name := _owner(f"socket:[{fields[9]}]")):
                return name
    return "another program"


def _owner(link: str) -> str:
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(str(entry.readlink()) == link for entry in folder.iterdir()):
                return f"{_read(folder.parent / 'comm').strip()} (process {folder.parent.name})"
        except OSError:
            continue  # it ended, or is not ours to look at
    return ""


def _networks(*, ours: str) -> Iterator[tuple[ipaddress.IPv4Network, str]]:
    """Destinations in the routing table but for the default route and our own bridges (proc_pid_net(5): hex, host byte order)."""
    for line in _read("/proc/net/route").splitlines()[1:]:
        interface, destination, *rest = line.split()
        mask = int(rest[5], 16)
        if mask and not interface.startswith(ours):
            address, netmask = (ipaddress.IPv4Address(number.to_bytes(4, sys.byteorder)) for number in (int(destination, 16), mask))
            yield ipaddress.IPv4Network(f"{address}/{netmask}", strict=False), interface


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
