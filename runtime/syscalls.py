"""System calls that Python lacks, and that affect only the calling process or a descriptor.

They open names below a folder and confine a process. Only this module, `runtime.kernel`, which
changes the machine, and the two modules for libnftables and libseccomp use ctypes. Each call fails
with OSError and the kernel's errno. Numbers and structures are those of include/uapi/linux; openat2
has the same number on every machine.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from enum import IntFlag

_OPENAT2 = 437
_RETRIES = 100
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _PR_SET_DUMPABLE = (
    1,
    24,
    38,
    22,
    4,
)
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_LAST = 63
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_RDONLY, _MS_REMOUNT, _MS_REC, _MS_PRIVATE, _MS_BIND = (
    2,
    4,
    8,
    1,
    32,
    16384,
    1 << 18,
    4096,
)
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


class Resolve(IntFlag):
    """Flags for the resolution of a name (openat2(2))."""

    NO_MAGIC_LINKS = 2
    NO_LINKS = 4
    BENEATH = 8
    IN_ROOT = 16


class Namespace(IntFlag):
    """Kinds of namespaces (unshare(2))."""

    MOUNT = 0x00020000
    CGROUP = 0x02000000
    UTS = 0x04000000
    IPC = 0x08000000
    USER = 0x10000000
    NETWORK = 0x40000000


class Capability(IntFlag):
    """Capabilities as bits (capabilities(7))."""

    CHOWN = 1 << 0
    DAC_OVERRIDE = 1 << 1
    DAC_READ_SEARCH = 1 << 2
    FOWNER = 1 << 3
    FSETID = 1 << 4
    SETFCAP = 1 << 31


def openat2(folder: int, name: bytes, flags: int, mode: int = 0, *, resolve: Resolve) -> int:
    """Open a name relative to a directory's descriptor. The caller closes the result.

    After a race with a rename (EAGAIN) it tries again.
    """
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, int(resolve))
    for _ in range(_RETRIES):
        fd = _libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_long(folder),
            ctypes.c_char_p(name),
            ctypes.c_char_p(how),
            ctypes.c_long(len(how)),
        )
        if fd >= 0:
            return int(fd)
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            break
    raise _failure(os.fsdecode(name))


def unshare(kinds: Namespace) -> None:
    """Move this process into new namespaces (unshare(2)). It must have only one thread."""
    _check(_libc.unshare(ctypes.c_int(int(kinds))), "unshare")


def empty_root(place: str) -> None:
    """Make an empty, read-only tmpfs at `place` this process's root (pivot_root(2)).

    The old file tree is unmounted. The caller is in its own mount namespace. Afterwards nothing can
    be opened by path, not even in /proc.
    """
    quiet = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", place, "tmpfs", quiet, "size=4k,mode=0555")
    os.chdir(place)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")  # now the old root is on top of the new one
    _check(_libc.umount2(b".", ctypes.c_int(_MNT_DETACH)), "umount2")
    os.chdir("/")
    _mount(None, "/", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | quiet)


def drop_capabilities(keep: Capability) -> None:
    """Drop all capabilities except `keep` permanently (capset(2), prctl(2)).

    They are also removed from the bounding set.
    """
    for number in range(_CAP_LAST + 1):
        if (
            not int(keep) >> number & 1
            and _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), 0, 0, 0) < 0
        ):
            if ctypes.get_errno() == errno.EINVAL:  # beyond the last one that this kernel knows
                break
            raise _failure("prctl(PR_CAPBSET_DROP)")
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low, high = int(keep) & 0xFFFFFFFF, int(keep) >> 32
    sets = struct.pack("=6I", low, low, 0, high, high, 0)
    _check(_libc.capset(ctypes.c_char_p(header), ctypes.c_char_p(sets)), "capset")


def write_files_as(owner: int) -> None:
    """Set the owner of files that this thread creates, permanently (setfsuid(2), capset(2)).

    The thread keeps its capabilities. Call it in a thread that ends soon. Raises OSError (EPERM) if
    the caller lacks CAP_SETUID or CAP_SETGID.
    """
    for change in (_libc.setfsgid, _libc.setfsuid):  # they return the previous id, and no errors
        change(ctypes.c_uint(owner))
        if change(ctypes.c_uint(owner)) != owner:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), f"setfsuid({owner})")
    header, sets = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), ctypes.create_string_buffer(24)
    _check(_libc.capget(ctypes.c_char_p(header), sets), "capget")
    low, high = (
        struct.unpack_from("=3I", sets, place) for place in (0, 12)
    )  # effective, permitted, inheritable
    words = struct.pack("=6I", low[1], low[1], low[2], high[1], high[1], high[2])
    _check(_libc.capset(ctypes.c_char_p(header), ctypes.c_char_p(words)), "capset")


def forbid_new_privileges() -> None:
    """Forbid that an executed program gains privileges (PR_SET_NO_NEW_PRIVS)."""
    _check(
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)"
    )


def die_with_parent(number: int) -> None:
    """Request this signal for the parent's end (PR_SET_PDEATHSIG). A change of user clears it."""
    _check(
        _libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)"
    )


def hide_memory() -> None:
    """Forbid other processes of the same user to read this one's memory (PR_SET_DUMPABLE)."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0), 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def filter_calls(program: bytes) -> None:
    """Apply a seccomp program to this process (seccomp(2), SECCOMP_SET_MODE_FILTER).

    The program has the format that libseccomp exports.
    """
    instructions = ctypes.create_string_buffer(program, len(program))
    pointer = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    _check(
        _libc.prctl(
            _PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.c_char_p(pointer), 0, 0
        ),
        "prctl(PR_SET_SECCOMP)",
    )


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind, options)]
    _check(
        _libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]),
        f"mount {target}",
    )


def _check(result: int, what: str) -> None:
    if result < 0:
        raise _failure(what)


def _failure(what: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), what)
