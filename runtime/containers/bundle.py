"""The OCI runtime's config.json for a container spec.

Pure: paths and host facts are arguments, nothing is read or written.

https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.containers.spec import Bind, ContainerSpec, Purpose

INIT = "/dev/init"
TEMPORARY = "/tmp"  # noqa: S108 -- the path inside the container
OWN_FILES = ("hosts", "hostname", "resolv.conf")
SHARED_MEMORY = 64 * 2**20
TERMINALS = 64  # the whole machine has kernel.pty.max
# Of 1000. If the whole machine runs out of memory, the kernel kills builds before instances
# (proc_pid_oom_score_adj(5)).
OOM_SCORE_OF_BUILDS = 900

# The capabilities that root needs to install packages inside its own user namespace. Apps get none.
_CAPABILITIES_OF_ROOT = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)

# Files of /proc and /sys that show or change the whole machine; Docker and Podman hide these too.
# The files about disks are also hidden. Each instance has a disk, so its name and counters would
# show what other teams run and how much they write.
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/diskstats",
    "/proc/fs",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/mdstat",
    "/proc/partitions",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/block",
    "/sys/class/bdi",
    "/sys/class/block",
    "/sys/dev/block",
    "/sys/devices/virtual/bdi",
    "/sys/devices/virtual/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/bcachefs",
    "/sys/fs/btrfs",
    "/sys/fs/ext4",
    "/sys/fs/f2fs",
    "/sys/fs/xfs",
)
_READ_ONLY = ("/proc/bus", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """Facts of this machine: paths, namespaces and the highest limits."""

    rootfs: Path
    etc: Path  # hosts, hostname, resolv.conf
    temporary: Path  # becomes /tmp
    init: Path
    userns: Path
    netns: Path | None  # None: the runtime creates an empty one
    cgroup: str  # path below each hierarchy's root, with a leading slash
    # Mount the container's own cgroup read-only: node and java read their limits there.
    show_cgroup: bool
    disks: tuple[str, ...]  # folders below /sys of the machine's physical disks
    open_files: int
    accounts: Mapping[str, int]  # limits of resources that the kernel counts per user
    seccomp: bytes


def capabilities(spec: ContainerSpec) -> tuple[str, ...]:
    """Return the capabilities of a container.

    A build step that runs as root gets those that a package manager needs. All others get none.
    """
    return _CAPABILITIES_OF_ROOT if spec.purpose is Purpose.BUILD and spec.uid == 0 else ()


def hostname(spec: ContainerSpec) -> str:
    """Return the host name: at most 63 bytes, without a dash at the end (RFC 1123)."""
    return spec.id[:63].rstrip("-")


def config(spec: ContainerSpec, host: HostFacts) -> dict[str, Any]:
    """Return the content of config.json."""
    return {
        "ociVersion": "1.0.0",
        "root": {"path": str(host.rootfs), "readonly": False},
        "hostname": hostname(spec),
        "process": _process(spec, host),
        "mounts": [
            *_kernel_mounts(host),
            *_own_files(spec, host),
            *_temporaries(spec),
            *(_bind(bind) for bind in spec.binds),
            *(_bind(volume) for volume in spec.volumes),
        ],
        "linux": {
            "namespaces": _namespaces(host),
            "cgroupsPath": host.cgroup,
            "maskedPaths": [*_MASKED, *host.disks],
            "readonlyPaths": list(_READ_ONLY),
            "rootfsPropagation": "private",
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0"},
            # The compiled program is in the annotation: the runtime needs 1 ms instead of 15 ms.
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
        },
        "annotations": {"run.oci.seccomp_bpf_data": base64.b64encode(host.seccomp).decode()},
    }


def _process(spec: ContainerSpec, host: HostFacts) -> dict[str, Any]:
    held = list(capabilities(spec))
    return {
        "terminal": False,
        "user": {"uid": spec.uid, "gid": spec.gid, "umask": 0o022, **_groups(spec)},
        "args": [INIT, "--", *spec.command],
        "env": [f"{name}={value}" for name, value in spec.environment.items()],
        "cwd": spec.working_directory,
        "noNewPrivileges": True,
        **({"oomScoreAdj": OOM_SCORE_OF_BUILDS} if spec.purpose is Purpose.BUILD else {}),
        "capabilities": {
            "bounding": held,
            "effective": held,
            "permitted": held,
            "inheritable": [],
            "ambient": [],
        },
        "rlimits": [
            {"type": "RLIMIT_NOFILE", "soft": host.open_files, "hard": host.open_files},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            *({"type": name, "soft": most, "hard": most} for name, most in host.accounts.items()),
        ],
    }


def _groups(spec: ContainerSpec) -> dict[str, list[int]]:
    return {"additionalGids": list(spec.groups)} if spec.groups else {}


def _temporaries(spec: ContainerSpec) -> list[dict[str, Any]]:
    return [
        _mount(
            temporary.target,
            "tmpfs",
            ("nosuid", "nodev", "mode=1777", f"size={int(temporary.size)}"),
        )
        for temporary in spec.temporaries
    ]


def _namespaces(host: HostFacts) -> list[dict[str, str]]:
    network = (
        {"type": "network"} if host.netns is None else {"type": "network", "path": str(host.netns)}
    )
    fresh: Sequence[dict[str, str]] = [
        {"type": kind} for kind in ("pid", "mount", "ipc", "uts", "cgroup")
    ]
    return [{"type": "user", "path": str(host.userns)}, network, *fresh]


def _kernel_mounts(host: HostFacts) -> list[dict[str, Any]]:
    mounts = [
        _mount("/proc", "proc", ("nosuid", "noexec", "nodev")),
        _mount("/dev", "tmpfs", ("nosuid", "mode=755", "size=65536k")),
        _mount(
            "/dev/pts",
            "devpts",
            ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", f"max={TERMINALS}"),
        ),
        _mount(
            "/dev/shm",  # noqa: S108
            "tmpfs",
            ("nosuid", "noexec", "nodev", "mode=1777", f"size={SHARED_MEMORY}"),
            source="shm",
        ),
        _mount("/dev/mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
        _mount("/sys", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    ]
    if host.show_cgroup:
        mounts.append(
            _mount("/sys/fs/cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro"))
        )
    return mounts


def _own_files(spec: ContainerSpec, host: HostFacts) -> list[dict[str, Any]]:
    taken = {bind.target for bind in spec.binds}
    own = [Bind(source=host.init, target=INIT)]
    own += [Bind(source=host.temporary, target=TEMPORARY, writable=True)] if spec.own_tmp else []
    own += [Bind(source=host.etc / name, target=f"/etc/{name}") for name in OWN_FILES]
    return [_bind(bind) for bind in own if bind.target not in taken]


def _bind(bind: Bind) -> dict[str, Any]:
    options = ("rbind", "rprivate", "nosuid", "nodev", "rw" if bind.writable else "ro")
    return _mount(bind.target, "bind", options, source=str(bind.source))


def _mount(target: str, kind: str, options: Sequence[str], *, source: str = "") -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source or kind, "options": list(options)}


def mount_points(spec: ContainerSpec) -> tuple[str, ...]:
    """Return the paths on which the runtime mounts.

    Where the layers have no such path, the runtime creates an empty file or folder.
    """
    own = (
        "/proc",
        "/dev",
        "/sys",
        *((TEMPORARY,) if spec.own_tmp else ()),
        *(f"/etc/{name}" for name in OWN_FILES),
    )
    return (
        *own,
        *(temporary.target for temporary in spec.temporaries),
        *(bind.target for bind in spec.binds),
        *(volume.target for volume in spec.volumes),
    )


def hosts_file(spec: ContainerSpec, address: str | None) -> str:
    """Return the text of /etc/hosts. The container's name has its own address, or 127.0.1.1."""
    return (
        "127.0.0.1\tlocalhost\n::1\tlocalhost"
        f" ip6-localhost\n{address or '127.0.1.1'}\t{hostname(spec)}\n"
    )


def resolver_file(
    of_host: str, *, unstubbed: str = "", fallback: Sequence[str] = ("1.1.1.1", "9.9.9.9")
) -> str:
    """Return the text of /etc/resolv.conf: the host's, without servers on the host's loopback.

    If the host has only a stub on its loopback (systemd-resolved), the servers behind the stub
    (`unstubbed`) are used, or else those of `fallback`.
    """
    for text in (of_host, unstubbed):
        lines = [line.split() for line in text.splitlines()]
        servers = [
            words[1]
            for words in lines
            if words[:1] == ["nameserver"] and len(words) > 1 and not _is_loopback(words[1])
        ]
        if servers:
            break
    else:
        servers = list(fallback)
    kept = [" ".join(words) for words in lines if words[:1] in (["search"], ["options"])]
    return "".join(
        f"{line}\n" for line in [*(f"nameserver {server}" for server in servers[:3]), *kept]
    )


def _is_loopback(server: str) -> bool:
    return server.startswith("127.") or server == "::1"
