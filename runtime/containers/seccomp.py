"""The seccomp filter of containers: the distribution's profile with our restrictions, as BPF.

The profile is that of containers-common (seccomp.json). In addition, containers cannot create
namespaces, above all user namespaces, and cannot mount. This closes the kernel's largest attack
surface, whatever capabilities a namespace would give. Sockets are limited to a few families.
AF_VSOCK has no network namespace, so the firewall does not see it. AF_ALG reaches much kernel code
that no app needs.
"""

from __future__ import annotations

import errno
import json
import platform
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from runtime.errors import HostLacks
from runtime.kernel import Kernel
from runtime.libseccomp import ALLOW, SeccompRule, errno_action

PROFILES = (Path("/usr/share/containers/seccomp.json"), Path("/etc/containers/seccomp.json"))

_NEW_NAMESPACES = 0x7E020080  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET,TIME} (clone(2))
_NEW_NAMESPACES_CLONE = 0x7E020000  # in clone the low byte is the exit signal
_MASKED_EQUAL = 7  # enum scmp_compare
_LOW_WORD = 0xFFFFFFFF  # the kernel takes an int and ignores the upper half of the register
_OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}

_REFUSED = frozenset(
    (
        "mount",
        "umount",
        "umount2",
        "pivot_root",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "open_tree",
        "move_mount",
        "mount_setattr",
        "setns",
        "bpf",
        "keyctl",
        "add_key",
        "request_key",
        "userfaultfd",
        "perf_event_open",
        "open_by_handle_at",
        "name_to_handle_at",
        "pidfd_getfd",
        "reboot",
        "sched_setattr",  # a custom time slice (Linux 6.12) gets ahead of others on the same core
        "syslog",  # the kernel log contains the names of other teams' containers
    )
)
# These fail with ENOSYS, so that programs use another call. The flags of clone3 are in memory,
# which a filter cannot read. io_setup uses up a limit of the whole machine (fs.aio-max-nr).
_UNKNOWN = frozenset(
    ("clone3", "socketcall", "io_setup", "io_uring_setup", "io_uring_enter", "io_uring_register")
)
_DECIDED_HERE = _REFUSED | _UNKNOWN | {"clone", "unshare", "socket", "socketpair"}

_FAMILIES = 64  # of sockets; the kernel has fewer (AF_MAX)
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16  # include/linux/socket.h
_ROUTE, _NETLINK_PROTOCOLS = 0, 32  # include/uapi/linux/netlink.h, MAX_LINKS
# For each machine: the profile's name and libseccomp's additional ABIs. The 32-bit ABI of x86 is
# left out, so SIGSYS ends its programs. Its socketcall passes a socket's family in memory, which a
# filter cannot read, and libseccomp would then allow all families.
_ARCHITECTURES: dict[str, tuple[str, tuple[str, ...]]] = {
    "x86_64": ("amd64", ()),
    "aarch64": ("arm64", ("arm",)),
}


@cache
def program(capabilities: tuple[str, ...]) -> bytes:
    """Return the BPF program for a container with these capabilities.

    Raises HostLacks if this machine has no profile or no libseccomp.
    """
    profile = _profile()
    architecture, further = _ARCHITECTURES.get(platform.machine(), (platform.machine(), ()))
    default = errno_action(int(profile.get("defaultErrnoRet", errno.EPERM)))
    chosen = [*rules(profile, architecture, frozenset(capabilities)), *_own_rules()]
    return Kernel().seccomp_program(
        default, [rule for rule in chosen if rule.action != default], further
    )


def rules(
    profile: dict[str, Any], architecture: str, capabilities: frozenset[str]
) -> Iterator[SeccompRule]:
    """Yield a profile's rules for an architecture and a set of capabilities. Pure.

    Rules for syscalls that this module decides are left out.
    """
    for entry in profile["syscalls"]:
        if not _applies(entry, architecture, capabilities):
            continue
        action = (
            ALLOW
            if entry["action"] == "SCMP_ACT_ALLOW"
            else errno_action(int(entry.get("errnoRet", errno.EPERM)))
        )
        conditions = tuple(_conditions(entry.get("args") or ()))
        for name in entry["names"]:
            if name not in _DECIDED_HERE:
                yield SeccompRule(syscall=name, action=action, conditions=conditions)


def _own_rules() -> Iterator[SeccompRule]:
    refused = errno_action(errno.EPERM)
    for name in sorted(_REFUSED):
        yield SeccompRule(syscall=name, action=refused)
    for name in sorted(_UNKNOWN):
        yield SeccompRule(syscall=name, action=errno_action(errno.ENOSYS))
    yield SeccompRule(
        syscall="clone", action=ALLOW, conditions=((0, _MASKED_EQUAL, _NEW_NAMESPACES_CLONE, 0),)
    )
    yield SeccompRule(
        syscall="unshare", action=ALLOW, conditions=((0, _MASKED_EQUAL, _NEW_NAMESPACES, 0),)
    )
    for bit in _bits(_NEW_NAMESPACES):
        yield SeccompRule(
            syscall="unshare", action=refused, conditions=((0, _MASKED_EQUAL, bit, bit),)
        )
    yield from _socket_rules()


def _socket_rules() -> Iterator[SeccompRule]:
    """Yield rules that allow the families that apps use.

    Of netlink, only the protocol that shows a container's own addresses is allowed. The others
    fail as "not supported".
    """
    no_family, no_protocol = errno_action(errno.EAFNOSUPPORT), errno_action(errno.EPROTONOSUPPORT)
    for family in range(_FAMILIES):
        is_family = (0, _MASKED_EQUAL, _LOW_WORD, family)
        if family == _NETLINK:
            for protocol in range(_NETLINK_PROTOCOLS):
                action = ALLOW if protocol == _ROUTE else no_protocol
                yield SeccompRule(
                    syscall="socket",
                    action=action,
                    conditions=(is_family, (2, _MASKED_EQUAL, _LOW_WORD, protocol)),
                )
        else:
            action = ALLOW if family in (_UNIX, _INET, _INET6) else no_family
            yield SeccompRule(syscall="socket", action=action, conditions=(is_family,))
        yield SeccompRule(
            syscall="socketpair",
            action=ALLOW if family == _UNIX else no_family,
            conditions=(is_family,),
        )


def _bits(mask: int) -> Iterator[int]:
    return (1 << place for place in range(mask.bit_length()) if mask >> place & 1)


def _applies(entry: dict[str, Any], architecture: str, capabilities: frozenset[str]) -> bool:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    if (only := includes.get("arches")) and architecture not in only:
        return False
    if not capabilities.issuperset(includes.get("caps") or ()):
        return False
    return architecture not in (excludes.get("arches") or ()) and capabilities.isdisjoint(
        excludes.get("caps") or ()
    )


def _conditions(arguments: Iterable[dict[str, Any]]) -> Iterator[tuple[int, int, int, int]]:
    for argument in arguments:
        yield (
            argument["index"],
            _OPERATORS[argument["op"]],
            argument["value"],
            argument.get("valueTwo", 0),
        )


def _profile(places: Sequence[Path] = PROFILES) -> dict[str, Any]:
    for place in places:
        try:
            profile: dict[str, Any] = json.loads(place.read_bytes())
            return profile
        except FileNotFoundError:
            continue
    raise HostLacks(
        f"There is no seccomp profile on this machine (looked at {', '.join(map(str, places))}).",
        hint=(
            "Install golang-github-containers-common (Debian) or containers-common (Fedora), or run"
            " `make up`."
        ),
    )
