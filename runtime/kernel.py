"""System calls that change the machine, through ctypes: one small method per call.

All fail with KernelRefused. Numbers and structures are those of include/uapi/linux; the newer calls
have the same number on every 64-bit machine. Callers decide what is mounted and where.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntFlag
from pathlib import Path

from runtime import libnftables, libseccomp, loop_device, mount_table
from runtime.errors import KernelRefused
from runtime.libseccomp import SeccompRule
from runtime.mount_table import Mount

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _MOUNT_SETATTR = 428, 429, 430, 431, 432, 442
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE, _AT_NO_AUTOMOUNT = -100, 0x1000, 0x8000, 0x800
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH, _CLOEXEC = 1, 4, 1
_FSCONFIG_SET_STRING, _FSCONFIG_SET_FD, _FSCONFIG_CMD_CREATE = 1, 5, 6
_MS_BIND, _MS_PRIVATE, _MNT_DETACH, _UMOUNT_NOFOLLOW = 4096, 1 << 18, 2, 8
_EXT4_IOC_SHUTDOWN, _EXT4_GOING_FLAGS_NOLOGFLUSH = 0x8004587D, 2
_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878
_FALLOC_FL_KEEP_SIZE, _FALLOC_FL_PUNCH_HOLE = 1, 2


class MountFlag(IntFlag):
    """Restrictions of a mount (mount(2)). The new mount API has the same bits (MOUNT_ATTR_*)."""

    NONE = 0
    READ_ONLY = 1
    NO_SETUID = 2
    NO_DEVICES = 4
    NO_EXEC = 8


_ATTR_IDMAP = 0x00100000
_MS_NOATIME = 1024


class Kernel:
    """The system calls. Tests may pass an instance that lacks the newer ones."""

    def __init__(self, *, layers_by_fd: bool = True) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.layers_by_fd = layers_by_fd  # False: behave as a kernel before 6.13

    # Mounts

    def mount(
        self,
        source: str | Path,
        target: Path,
        kind: str,
        *,
        flags: MountFlag = MountFlag.NONE,
        options: str = "",
    ) -> None:
        """Mount a file system without access times (mount(2))."""
        arguments = (
            os.fsencode(source),
            os.fsencode(target),
            kind.encode(),
            ctypes.c_ulong(int(flags) | _MS_NOATIME),
            options.encode(),
        )
        self._check(self._libc.mount(*arguments), f"mount {kind} on {target}")

    def bind(self, source: str | Path, target: Path) -> None:
        """Bind-mount a file or folder. It is private: other mount namespaces do not get it."""
        self._check(
            self._libc.mount(
                os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(_MS_BIND), None
            ),
            f"bind {source} to {target}",
        )
        self._check(
            self._libc.mount(None, os.fsencode(target), None, ctypes.c_ulong(_MS_PRIVATE), None),
            f"make {target} private",
        )

    def unmount(self, target: Path, *, lazily: bool = False) -> bool:
        """Unmount (umount2(2)); False: nothing was mounted. KernelRefused (EBUSY): in use."""
        flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazily else 0)
        if self._libc.umount2(os.fsencode(target), flags) == 0:
            return True
        if ctypes.get_errno() in (errno.EINVAL, errno.ENOENT):
            return False
        raise self._refusal(f"unmount {target}")

    def mounts(self) -> list[Mount]:
        """Return all mounts of our mount namespace, in the order of their creation."""
        return mount_table.mounts()

    def mounts_below(self, folder: Path) -> list[Path]:
        """Return the mount points at or below a folder, in the order in which to unmount them."""
        prefix = f"{folder}/"
        return [
            mount.target
            for mount in reversed(self.mounts())
            if f"{mount.target}/".startswith(prefix)
        ]

    def clone_tree(
        self, source: Path, *, idmap: int | None = None, flags: MountFlag = MountFlag.NONE
    ) -> int:
        """Return an fd of a detached copy of the mount at `source`. The caller closes it.

        The user namespace `idmap` shifts its ids (mount_setattr(2)). The copy is private: a peer of
        a shared mount would get the mounts and unmounts there.
        """
        return self._cloned(_AT_FDCWD, source, _OPEN_TREE_CLONE | os.O_CLOEXEC, idmap, flags)

    def clone_below(
        self, folder: int, *, idmap: int | None = None, flags: MountFlag = MountFlag.NONE
    ) -> int:
        """Do the same for an open folder or file, without resolving a name."""
        return self._cloned(
            folder, Path(), _OPEN_TREE_CLONE | _AT_EMPTY_PATH | os.O_CLOEXEC, idmap, flags
        )

    def _cloned(
        self, folder: int, source: Path, how: int, idmap: int | None, flags: MountFlag
    ) -> int:
        name = b"" if how & _AT_EMPTY_PATH else os.fsencode(source)
        fd = self._call(f"clone the mount of {source}", _OPEN_TREE, folder, name, how)
        try:
            attributes = struct.pack(
                "QQQQ",
                int(flags) | (_ATTR_IDMAP if idmap is not None else 0),
                0,
                _MS_PRIVATE,
                idmap or 0,
            )
            self._call(
                f"map the ids of {source}",
                _MOUNT_SETATTR,
                fd,
                b"",
                _AT_EMPTY_PATH,
                attributes,
                len(attributes),
            )
        except BaseException:
            os.close(fd)
            raise
        return fd

    def make_read_only(self, target: Path) -> None:
        """Make a mount of this namespace read-only, and change nothing else (mount_setattr(2))."""
        attributes = struct.pack("QQQQ", int(MountFlag.READ_ONLY), 0, 0, 0)
        self._call(
            f"make {target} read-only",
            _MOUNT_SETATTR,
            _AT_FDCWD,
            os.fsencode(target),
            _AT_NO_AUTOMOUNT,
            attributes,
            len(attributes),
        )

    def attach(self, mount: int, target: Path) -> None:
        """Attach a detached mount to the file tree (move_mount(2))."""
        self._call(
            f"attach to {target}",
            _MOVE_MOUNT,
            mount,
            b"",
            _AT_FDCWD,
            os.fsencode(target),
            _MOVE_MOUNT_F_EMPTY_PATH,
        )

    def new_overlay(
        self,
        layers: Sequence[int],
        upper: int | Path,
        work: int | Path,
        *,
        options: Sequence[str],
        flags: MountFlag,
    ) -> int:
        """Return a detached overlay of detached layers, topmost first.

        Raises KernelRefused (EINVAL) if this kernel accepts only paths (before 6.13).
        """
        if not self.layers_by_fd:
            raise KernelRefused(
                "This kernel accepts the layers of an overlay only by path.", errno=errno.EINVAL
            )
        context = self._call("open an overlay", _FSOPEN, b"overlay", _CLOEXEC)
        try:
            for layer in layers:
                self._call(
                    "add a layer", _FSCONFIG, context, _FSCONFIG_SET_FD, b"lowerdir+", None, layer
                )
            for key, place in ((b"upperdir", upper), (b"workdir", work)):
                if isinstance(place, int):
                    self._call(
                        "set the writable layer",
                        _FSCONFIG,
                        context,
                        _FSCONFIG_SET_FD,
                        key,
                        None,
                        place,
                    )
                else:
                    self._call(
                        "set the writable layer",
                        _FSCONFIG,
                        context,
                        _FSCONFIG_SET_STRING,
                        key,
                        os.fsencode(place),
                        0,
                    )
            for option in options:
                name, _, value = option.partition("=")
                command = (
                    (_FSCONFIG_SET_STRING, name.encode(), value.encode(), 0)
                    if value
                    else (0, name.encode(), None, 0)
                )
                self._call(f"set the overlay's option {option}", _FSCONFIG, context, *command)
            self._call("create an overlay", _FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
            return self._call("mount an overlay", _FSMOUNT, context, _CLOEXEC, int(flags))
        finally:
            os.close(context)

    # Disks

    @contextmanager
    def loop_device(
        self, image: Path, *, direct: bool = False, read_only: bool = False
    ) -> Iterator[Path]:
        """Create a block device for a file. It exists until its last user ends.

        After the block, that is the mount that was made inside it. The file is opened below a
        detached mount of its folder. So the path that the kernel shows (backing_file) has no
        folder. With `direct`, the file's content is cached once and not twice. If the file already
        has a device, that one is used: two would damage the file system.
        """
        folder = self.clone_tree(image.parent)
        try:
            access = os.O_RDONLY if read_only else os.O_RDWR
            file = os.open(image.name, access | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            device, fd = loop_device.find(file) or loop_device.set_up(
                file, direct=direct, read_only=read_only
            )
        finally:
            os.close(file)
        try:
            yield device
        finally:
            os.close(fd)

    def drop_unwritten(self, mounted: Path) -> None:
        """Shut down an ext4 file system that will be deleted (EXT4_IOC_SHUTDOWN).

        Its dirty pages are not written.
        """
        fd = os.open(mounted, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError):  # if this fails, the unmount takes longer
                fcntl.ioctl(fd, _EXT4_IOC_SHUTDOWN, struct.pack("I", _EXT4_GOING_FLAGS_NOLOGFLUSH))
        finally:
            os.close(fd)

    def has_loop_device(self, image: Path) -> bool:
        """Return whether a file is the content of a loop device."""
        file = os.open(image, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = loop_device.find(file)
        finally:
            os.close(file)
        if found is not None:
            os.close(found[1])
        return found is not None

    def refresh_device_size(self, device: Path) -> None:
        """Have a loop device adopt the size of its file, which has grown."""
        loop_device.refresh_size(device)

    def freeze_disk(self, mounted: Path, *, frozen: bool) -> None:
        """Stop or resume all writes to a mounted file system (FIFREEZE, FITHAW).

        Do nothing if it is already in that state. While it is frozen, its device is consistent.
        """
        fd = os.open(mounted, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, _FIFREEZE if frozen else _FITHAW, 0)
        except OSError as error:
            if error.errno != (errno.EBUSY if frozen else errno.EINVAL):
                raise KernelRefused(
                    f"The kernel refused to {'freeze' if frozen else 'thaw'} {mounted}:"
                    f" {error.strerror}.",
                    errno=error.errno or 0,
                ) from None
        finally:
            os.close(fd)

    def punch_hole(self, file: int, start: int, end: int) -> None:
        """Free a part of a file; its size and offsets stay (fallocate(2)).

        Do nothing if the file system does not support this.
        """
        mode = _FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE
        if (
            self._libc.fallocate(file, mode, ctypes.c_int64(start), ctypes.c_int64(end - start)) < 0
            and ctypes.get_errno() != errno.EOPNOTSUPP
        ):
            raise self._refusal("free a part of a file")

    # Firewall

    def nft(self, commands: str) -> str:
        """Run commands as `nft -f -` does (libnftables(3)). Return the error, or an empty text.

        Without a process this takes 0.1 ms instead of 4 ms.
        """
        return libnftables.run(commands)[1]

    def nft_json(self, command: str) -> tuple[str, str]:
        """Run a read command as `nft -j` does. Return its output, and the error if any."""
        return libnftables.run(command, flags=libnftables.JSON_OUTPUT)

    # Seccomp

    def seccomp_program(
        self, default: int, rules: Sequence[SeccompRule], architectures: Sequence[str]
    ) -> bytes:
        """Compile rules to BPF with libseccomp (seccomp_export_bpf(3)); skip unknown syscalls."""
        return libseccomp.compile_filter(default, rules, architectures)

    # Below the methods

    def _call(self, what: str, number: int, *arguments: int | bytes | None) -> int:
        words = [
            (
                ctypes.c_char_p(word)
                if isinstance(word, bytes) or word is None
                else ctypes.c_long(word)
            )
            for word in arguments
        ]
        return self._check(self._libc.syscall(ctypes.c_long(number), *words), what)

    def _check(self, result: int, what: str) -> int:
        if result < 0:
            raise self._refusal(what)
        return result

    def _refusal(self, what: str) -> KernelRefused:
        code = ctypes.get_errno()
        hint = _HINTS.get(code, "")
        return KernelRefused(
            f"The kernel refused to {what}: {os.strerror(code)}"
            f" ({errno.errorcode.get(code, code)}).",
            errno=code,
            hint=hint,
        )


_HINTS = {
    errno.EPERM: "Run as root, not in a container without CAP_SYS_ADMIN.",
    errno.ENOSYS: "Linux 6.1 or later is needed.",
    errno.EBUSY: "A process still uses it; `fuser -vm` on the path shows which one.",
}
