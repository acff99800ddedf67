"""A directory by its descriptor: the only safe access to names that a tenant chose.

Every name is relative to the folder. The kernel resolves it, and refuses to leave the folder or to
follow links (openat2(2), RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS). A change
applies to one name in an open folder, never to a path. Names are text as from os.fsdecode; "" is
the folder itself. Callers decide which names are valid.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from runtime.syscalls import Resolve, openat2
from runtime.trees.content import copy_content
from runtime.trees.emptying import empty
from runtime.trees.links import resolve
from runtime.trees.open_parents import FOLDER, PLACE, STRICT, OpenParents


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A name in a folder."""

    name: str
    status: os.stat_result

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


class Folder:
    """An open directory and its content. `close` also closes the parents that it opened."""

    def __init__(self, fd: int) -> None:
        """Take ownership of a directory's descriptor, with or without O_PATH."""
        self.fd = fd
        self._parents = OpenParents()

    @classmethod
    def at(cls, path: Path) -> Folder:
        """Open a folder by its path, which no tenant chose. Refuse a link at its end."""
        return cls(os.open(path, PLACE | os.O_CLOEXEC))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it. A repeated call is allowed."""
        self._parents.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    # Reading

    def status(self, name: str = "") -> os.stat_result:
        """Return lstat(2). Raise FileNotFoundError, NotADirectoryError, or ELOOP at a link."""
        if name in ("", "."):
            return os.stat(self.fd)
        parent, leaf = self._parents.of(self.fd, name)
        return os.stat(leaf, dir_fd=parent, follow_symlinks=False)

    def find(self, name: str) -> os.stat_result | None:
        """Return its status; None if it does not exist, or a parent is a link or a file."""
        try:
            return self.status(name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV):
                return None
            raise

    def is_folder(self, name: str = "") -> bool:
        """Return whether the name is a folder, not a link to one."""
        return (found := self.find(name)) is not None and stat.S_ISDIR(found.st_mode)

    def is_file(self, name: str) -> bool:
        """Return whether the name is a regular file, not a link to one."""
        return (
            name not in ("", ".")
            and (found := self.find(name)) is not None
            and stat.S_ISREG(found.st_mode)
        )

    def names(self, name: str = "") -> list[str]:
        """Return the names in a folder, sorted."""
        fd = self._opened(name, FOLDER)
        try:
            return sorted(os.listdir(fd))
        finally:
            os.close(fd)

    def entries(self, name: str = "") -> list[Entry]:
        """Return the entries of a folder, sorted by name, without those that vanish meanwhile."""
        fd = self._opened(name, FOLDER)
        found = []
        try:
            for entry in sorted(os.listdir(fd)):
                with suppress(FileNotFoundError):
                    found.append(
                        Entry(name=entry, status=os.stat(entry, dir_fd=fd, follow_symlinks=False))
                    )
        finally:
            os.close(fd)
        return found

    def subfolder(self, name: str) -> Folder:
        """Open a folder below this one."""
        return Folder(self._opened(name, FOLDER))

    def open_in_root(self, name: str) -> int:
        """Open a name with O_PATH, following links as after chroot(2), but none of /proc's."""
        return openat2(
            self.fd,
            os.fsencode(name.strip("/") or "."),
            os.O_PATH,
            resolve=Resolve.IN_ROOT | Resolve.NO_MAGIC_LINKS,
        )

    def read_link(self, name: str) -> str:
        """Return the exact text of a link."""
        parent, leaf = self._parents.of(self.fd, name)
        return os.readlink(leaf, dir_fd=parent)

    def resolve(self, name: str, *, follow_last: bool = True) -> str:
        """Return the name with its links resolved inside this folder, as after chroot(2).

        Parts that do not exist are unchanged. Raise SymlinkLoop after more than 40 links.
        """
        return resolve(name, self.find, self.read_link, follow_last=follow_last)

    # Content

    def open_file(self, name: str) -> BinaryIO:
        """Open a regular file for reading. Raise OSError EINVAL for any other type."""
        fd = self._opened(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", name)
        return cast(BinaryIO, os.fdopen(fd, "rb"))

    def read(self, name: str, most: int) -> bytes:
        """Return at most `most` bytes of a regular file."""
        with self.open_file(name) as file:
            return file.read(most)

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a regular file, in hex."""
        with self.open_file(name) as file:
            return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()

    def create_file(self, name: str, mode: int = 0o644) -> BinaryIO:
        """Create a file with exactly this mode. Raise FileExistsError if the name exists."""
        parent, leaf = self._parents.of(self.fd, name)
        fd = os.open(
            leaf,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
            dir_fd=parent,
        )
        os.fchmod(fd, mode)
        return cast(BinaryIO, os.fdopen(fd, "wb"))

    def write_file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """Create a file with this content."""
        with self.create_file(name, mode) as file:
            file.write(data)

    def copy_file(self, name: str, into: Folder, target: str) -> None:
        """Copy a regular file to a new name, with its holes. Share extents if possible."""
        with self.open_file(name) as old, into.create_file(target, 0o600) as new:
            copy_content(old.fileno(), new.fileno())

    # Creation and removal

    def make_folder(self, name: str, mode: int = 0o755) -> None:
        """Create a folder with exactly this mode. Raise FileExistsError if the name exists."""
        parent, leaf = self._parents.of(self.fd, name)
        os.mkdir(leaf, 0o700, dir_fd=parent)
        self.set_mode(name, mode)

    def make_folders(self, name: str, mode: int = 0o755) -> None:
        """Create a folder and its missing parents. Raise NotADirectoryError for other types."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        for depth in range(1, len(parts) + 1):
            place = "/".join(parts[:depth])
            found = self.find(place)
            if found is None:
                self.make_folder(place, mode)
            elif not stat.S_ISDIR(found.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), place)

    def make_link(self, name: str, text: str) -> None:
        """Create a symbolic link with exactly this text."""
        parent, leaf = self._parents.of(self.fd, name)
        os.symlink(text, leaf, dir_fd=parent)

    def make_hard_link(self, name: str, existing: str) -> None:
        """Create a hard link to `existing`. If that is a link, link it and not its target."""
        old, old_leaf = self._parents.of(self.fd, existing)
        old = os.dup(old)  # opening the second parent may close the first
        try:
            parent, leaf = self._parents.of(self.fd, name)
            os.link(old_leaf, leaf, src_dir_fd=old, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(old)

    def make_pipe(self, name: str) -> None:
        """Create a FIFO."""
        parent, leaf = self._parents.of(self.fd, name)
        os.mkfifo(leaf, 0o600, dir_fd=parent)

    def make_whiteout(self, name: str) -> None:
        """Create an overlay's whiteout: a character device 0/0 (filesystems/overlayfs.rst)."""
        parent, leaf = self._parents.of(self.fd, name)
        os.mknod(leaf, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)

    def remove(self, name: str) -> None:
        """Remove a name, and the content of a folder. Succeed if it does not exist."""
        found = self.find(name)
        if found is None:
            return
        parent, leaf = self._parents.of(self.fd, name)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(leaf, dir_fd=parent)
            return
        self._parents.close()
        with self.subfolder(name) as folder:
            folder.empty()
        parent, leaf = self._parents.of(self.fd, name)
        os.rmdir(leaf, dir_fd=parent)

    def empty(self) -> None:
        """Remove the content of this folder, at any depth."""
        self._parents.close()
        empty(self._opened("", FOLDER))

    def rename(self, name: str, target: str) -> None:
        """Move an entry to another name below this folder. Replace an existing one (rename(2))."""
        old, old_leaf = self._parents.of(self.fd, name)
        old = os.dup(old)
        try:
            parent, leaf = self._parents.of(self.fd, target)
            os.rename(old_leaf, leaf, src_dir_fd=old, dst_dir_fd=parent)
        finally:
            os.close(old)
            self._parents.close()

    # Properties

    def set_owner(self, name: str, uid: int, gid: int) -> None:
        """Call chown(2) without following a link. -1 keeps an id."""
        if name in ("", "."):
            os.chown(".", uid, gid, dir_fd=self.fd)
            return
        parent, leaf = self._parents.of(self.fd, name)
        os.chown(leaf, uid, gid, dir_fd=parent, follow_symlinks=False)

    def set_mode(self, name: str, mode: int) -> None:
        """Call chmod(2) on a folder, file or pipe. Links, devices and sockets keep their mode."""
        with self._readable(name) as fd:
            if fd is not None:
                os.fchmod(fd, mode)

    def set_times(self, name: str, accessed: int, modified: int) -> None:
        """Set times in nanoseconds since 1970, without following a link."""
        if name in ("", "."):
            os.utime(".", ns=(accessed, modified), dir_fd=self.fd)
            return
        parent, leaf = self._parents.of(self.fd, name)
        os.utime(leaf, ns=(accessed, modified), dir_fd=parent, follow_symlinks=False)

    def attributes(self, name: str = "") -> dict[str, bytes]:
        """Return the extended attributes of a folder, file or pipe; {} for other types."""
        with self._readable(name) as fd:
            return {} if fd is None else {key: os.getxattr(fd, key) for key in os.listxattr(fd)}

    def set_attribute(self, name: str, key: str, value: bytes) -> None:
        """Set an extended attribute. A pipe gets no `user.` attribute: it cannot have one
        (xattr(7)).
        """
        with self._readable(name) as fd:
            if fd is not None and not (
                key.startswith("user.") and stat.S_ISFIFO(os.fstat(fd).st_mode)
            ):
                os.setxattr(fd, key, value)

    def remove_attribute(self, name: str, key: str) -> None:
        """Remove an existing extended attribute."""
        with self._readable(name) as fd:
            if fd is not None:
                os.removexattr(fd, key)

    # Private

    @contextmanager
    def _readable(self, name: str) -> Iterator[int | None]:
        """Open a folder, file or pipe; yield None for other types."""
        found = self.status(name)
        if not (
            stat.S_ISDIR(found.st_mode)
            or stat.S_ISREG(found.st_mode)
            or stat.S_ISFIFO(found.st_mode)
        ):
            yield None
            return
        fd = self._opened(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            yield fd
        finally:
            os.close(fd)

    def _opened(self, name: str, flags: int) -> int:
        if name in ("", "."):
            return os.open(".", flags | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.fd)
        parent, leaf = self._parents.of(self.fd, name)
        return openat2(parent, os.fsencode(leaf), flags, resolve=STRICT)
