"""Unpack a source without trusting it: names, links, modes, sizes and counts are checked before
anything is written.

The content decides the type of an archive. A name with another type is an error, since one of them
is wrong. The unpacked tree holds folders, regular files and links that stay inside. All are owned
by root. They have the modes of the archive, without setuid and sticky bits. Nothing is ever written
through a link. Memory use does not grow with the sizes inside the archive. Runs in a confined
helper.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from runtime import cancellation
from runtime.builds.source.decompress import Plain, plain, too_large
from runtime.confined.registry import confined
from runtime.errors import BadArchive
from runtime.trees.folder import Folder
from runtime.trees.plain import Source
from runtime.trees.tar import Kind, Member, TarDamaged, TarLimits, TarReader, TarTooLarge

MAX_BYTES = 1 << 30  # after unpacking
MAX_ENTRIES = 50_000
_MAX_DIRECTORY = 32 << 20  # of a zip's central directory, which zipfile reads as a whole
_MAX_NAME, _MAX_PATH, _MAX_DEPTH = 255, 2048, 64
_CHUNK = 1 << 18
_MOST_LINKS = 40  # as in the kernel
_TAR_LIMITS = TarLimits(
    name_bytes=1 << 20, part_bytes=1 << 20, check_owners=False
)  # names are checked here, owners not used
_JUNK = frozenset({"__MACOSX", ".DS_Store", ".git", ".hg", ".svn", "Thumbs.db"})
_AGAIN = "Make the archive again from the app's own files."

# file name ending -> type of the archive; the longest ending that matches is used
_ENDINGS = {
    ".zip": "zip",
    ".tar": "tar",
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".tar.zst": "tar.zst",
    ".tzst": "tar.zst",
    ".tar.xz": "tar.xz",
    ".txz": "tar.xz",
}
_FOREIGN = {  # magic -> the name for a message
    b"BZh": "bzip2",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!": "RAR",
    b"%PDF": "a PDF document",
    b"\x7fELF": "a program",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """The result of unpacking."""

    kind: str  # zip, tar, tar.gz, tar.zst, tar.xz
    files: int
    size: int  # bytes
    unwrapped: str  # the single top folder that was removed, or ""


@confined
def unpack(
    archive: BinaryIO,
    filename: str,
    target: Folder,
    max_bytes: int = MAX_BYTES,
    max_entries: int = MAX_ENTRIES,
) -> Unpacked:
    """Unpack `archive`, uploaded as `filename`, into the empty folder `target`.

    BadArchive names the fault. `target` may then hold a part; nothing outside of it was changed.
    """
    kind = _kind(archive, filename)
    tree = _Tree(target, max_bytes=max_bytes, max_entries=max_entries)
    if kind == "zip":
        _unpack_zip(archive, tree)
    else:
        _unpack_tar(archive, kind, tree)
    if not tree.files:
        raise BadArchive(
            f"The archive {filename} has no files.",
            hint="Pack the folder that has the app's files.",
        )
    tree.set_folder_modes()
    unwrapped = _unwrap(target)
    tree.check_links(unwrapped)
    return Unpacked(kind=kind, files=tree.files, size=tree.size, unwrapped=unwrapped)


def _kind(archive: BinaryIO, filename: str) -> str:
    found = _sniff(archive, filename)
    lowered = filename.lower()
    named = next(
        (
            kind
            for ending, kind in sorted(_ENDINGS.items(), key=lambda item: -len(item[0]))
            if lowered.endswith(ending)
        ),
        found,
    )
    if named != found:
        raise BadArchive(
            f"{filename} is named .{named}, but its content is a .{found} archive.",
            hint=f"Rename it to end in .{found}, or pack it again.",
        )
    return found


def _sniff(archive: BinaryIO, filename: str) -> str:
    head = archive.read(512)
    archive.seek(0)
    if not head:
        raise BadArchive(
            f"The archive {filename} is empty: it has no bytes.", hint="Upload it again."
        )
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    packings = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst", b"\xfd7zXZ\x00": "xz"}
    packing = next((name for magic, name in packings.items() if head.startswith(magic)), "")
    block = plain(archive, packing, MAX_BYTES).read(512)
    archive.seek(0)
    if block[257:262] == b"ustar" or (len(block) == 512 and not block.strip(b"\0")):
        return f"tar.{packing}" if packing else "tar"
    if packing:
        raise BadArchive(
            f"{filename} is compressed ({packing}) but does not contain a tar archive.",
            hint=f"Pack the folder as .tar.{packing}.",
        )
    known = next(
        (name for magic, name in _FOREIGN.items() if head.startswith(magic)),
        "not a supported archive",
    )
    raise BadArchive(
        f"{filename} is {known}.", hint="Upload a .zip, .tar, .tar.gz, .tar.zst or .tar.xz."
    )


@dataclass(slots=True, kw_only=True)
class _Entry:
    """One entry of an archive of any format."""

    name: str
    mode: int
    is_folder: bool = False
    symlink: str | None = None
    hard_link: str | None = None
    strange: str = ""  # the type of a device, pipe or similar entry
    size: int = 0
    content: Source | None = None


@dataclass(slots=True)
class _Tree:
    """The tree that is unpacked, with the checks that depend on earlier entries."""

    root: Folder
    max_bytes: int = field(kw_only=True)
    max_entries: int = field(kw_only=True)
    files: int = 0
    size: int = 0
    _entries: int = 0
    _seen: dict[str, str] = field(default_factory=dict)  # path -> folder, file or link
    _symlinks: list[str] = field(default_factory=list)
    _folder_modes: dict[str, int] = field(default_factory=dict)

    def count(self) -> None:
        cancellation.check()
        self._entries += 1
        if self._entries > self.max_entries:
            raise BadArchive(
                f"The archive has more than {self.max_entries:,} entries, the most that a source"
                " may have.",
                hint=(
                    "Leave out files that the build installs, such as node_modules or a virtual"
                    " environment."
                ),
            )

    def add(self, entry: _Entry) -> None:
        """Check one entry and write it."""
        self.count()
        parts = _parts(entry.name)
        if not parts or _JUNK & set(parts) or parts[-1].startswith("._"):
            return
        if entry.strange:
            raise BadArchive(
                f"The archive contains {entry.strange}: {entry.name!r}. Only files, folders and"
                " links are allowed.",
                hint=_AGAIN,
            )
        if entry.mode & (stat.S_ISUID | stat.S_ISGID) and not entry.is_folder:
            raise BadArchive(
                f"{entry.name!r} has a setuid or setgid bit, which is not allowed in a source.",
                hint=f"chmod ug-s {parts[-1]}",
            )
        path = "/".join(parts)
        if entry.is_folder:
            self._make_folders(parts)
            self._folder_modes[path] = entry.mode & 0o777 | stat.S_IRWXU
            return
        if path in self._seen:
            raise BadArchive(f"The archive contains the name {path!r} twice.", hint=_AGAIN)
        self._make_folders(parts[:-1])
        if entry.symlink is not None:
            self._make_symlink(path, entry.symlink)
        elif entry.hard_link is not None:
            self._make_hard_link(path, entry.hard_link)
        else:
            self._write(path, entry)
        self.files += 1

    def set_folder_modes(self) -> None:
        """Give each folder its mode of the archive, after everything is written into it."""
        for path, mode in self._folder_modes.items():
            self.root.set_mode(path, mode)

    def check_links(self, unwrapped: str) -> None:
        """Follow every link as the kernel does.

        Several links together may lead outside where no single link does.
        """
        for path in self._symlinks:
            if _leads_out(self.root, path.removeprefix(f"{unwrapped}/")):
                raise BadArchive(
                    f"The link {path!r} leads outside the archive.",
                    hint="Links may point only to files in the archive.",
                )

    def _make_folders(self, parts: tuple[str, ...]) -> None:
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            kind = self._seen.setdefault(path, "folder")
            if kind != "folder":
                raise BadArchive(
                    f"The archive contains the name {path!r} twice: as a {kind} and as a folder.",
                    hint=_AGAIN,
                )
            if not self.root.is_folder(path):
                self.root.make_folder(path)

    def _make_symlink(self, path: str, leads_to: str) -> None:
        inside = os.path.normpath(os.path.join(os.path.dirname(path), leads_to))  # noqa: PTH118, PTH120  # text, not files
        if not leads_to or "\0" in leads_to or leads_to.startswith("/") or inside.startswith(".."):
            raise BadArchive(
                f"The link {path!r} points to {leads_to!r}, outside the archive.",
                hint="Links may point only to files in the archive.",
            )
        self._seen[path] = "link"
        self._symlinks.append(path)
        self.root.make_link(path, leads_to)

    def _make_hard_link(self, path: str, name: str) -> None:
        original = "/".join(_parts(name))
        if self._seen.get(original) != "file":
            raise BadArchive(
                f"{path!r} is a hard link to {name!r}, which is not an earlier file of the"
                " archive.",
                hint=_AGAIN,
            )
        self._seen[path] = "file"
        self.root.make_hard_link(path, original)

    def _write(self, path: str, entry: _Entry) -> None:
        if self.size + entry.size > self.max_bytes:
            raise BadArchive(
                too_large(self.max_bytes),
                hint="Leave out files that the app does not need: data, media, build output.",
            )
        self._seen[path] = "file"
        mode = (entry.mode & 0o777 or 0o644) | stat.S_IRUSR
        with self.root.create_file(path, mode) as file:
            while entry.content is not None and (chunk := entry.content.read(_CHUNK)):
                self.size += len(chunk)
                if self.size > self.max_bytes:
                    raise BadArchive(
                        too_large(self.max_bytes),
                        hint=(
                            "Leave out files that the app does not need: data, media, build output."
                        ),
                    )
                file.write(chunk)


def _parts(name: str) -> tuple[str, ...]:
    """Return the name as path components, relative and normalized.

    BadArchive if it leads outside.
    """
    if name.startswith("/"):
        raise BadArchive(
            f"The archive contains the absolute name {name!r}.",
            hint="Pack with relative names (tar -C FOLDER .).",
        )
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise BadArchive(
            f"The archive contains the name {name!r}, which leads outside the archive.",
            hint="Pack with names below one folder.",
        )
    if (
        "\0" in name
        or len(name) > _MAX_PATH
        or len(parts) > _MAX_DEPTH
        or any(len(os.fsencode(part)) > _MAX_NAME for part in parts)
    ):
        raise BadArchive(
            f"The archive contains the name {name[:80]!r}…, which is not a valid file name.",
            hint="Shorten it.",
        )
    return parts


def _unpack_zip(archive: BinaryIO, tree: _Tree) -> None:
    _check_directory(archive, tree.max_entries)
    try:
        with zipfile.ZipFile(archive) as packed:
            for info in packed.infolist():
                _unpack_zip_entry(packed, info, tree)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        struct.error,
        UnicodeError,
        ValueError,
    ) as error:
        raise BadArchive(
            f"The zip archive ends too early or is damaged: {str(error).rstrip('.')}.", hint=_AGAIN
        ) from None
    except OSError as error:
        if (
            error.errno != errno.EINVAL
        ):  # from lseek(2): the zip names an offset before its own beginning
            raise
        raise BadArchive(
            "The zip archive is damaged: it refers to a place outside the file.", hint=_AGAIN
        ) from None


def _check_directory(archive: BinaryIO, max_entries: int) -> None:
    """Check the zip's end record before zipfile reads the whole directory into memory (APPNOTE.TXT,
    4.3.16).
    """
    length = archive.seek(0, os.SEEK_END)
    archive.seek(max(0, length - 65_557))
    tail = archive.read()
    archive.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise BadArchive(
            "The zip archive ends too early: its table of contents is missing.",
            hint="Upload it again.",
        )
    entries, directory = struct.unpack_from("<HI", tail, at + 10)
    if entries > max_entries or entries == 0xFFFF or directory > _MAX_DIRECTORY:
        raise BadArchive(
            f"The archive has more than {max_entries:,} entries, the most that a source may have.",
            hint=(
                "Leave out files that the build installs, such as node_modules or a virtual"
                " environment."
            ),
        )


def _unpack_zip_entry(packed: zipfile.ZipFile, info: zipfile.ZipInfo, tree: _Tree) -> None:
    name = info.orig_filename
    if info.create_system == 0:  # made on Windows, where some tools write backslashes
        name = name.replace("\\", "/")
    mode = info.external_attr >> 16 if info.create_system == 3 else 0o644
    kind = stat.S_IFMT(mode)
    if info.flag_bits & 1:
        raise BadArchive(
            f"{name!r} is encrypted.", hint="Pack without a password; use config vars for secrets."
        )
    entry = _Entry(
        name=name,
        mode=stat.S_IMODE(mode),
        is_folder=name.endswith("/") or kind == stat.S_IFDIR,
        size=info.file_size,
    )
    if kind == stat.S_IFLNK:
        if info.file_size > _MAX_PATH:
            raise BadArchive(f"The link {name!r} is longer than any path.", hint=_AGAIN)
        entry.symlink = os.fsdecode(packed.read(info))
        tree.add(entry)
    elif entry.is_folder or kind not in (0, stat.S_IFREG):
        entry.strange = "" if entry.is_folder else "a device, pipe or socket"
        tree.add(entry)
    else:
        with packed.open(info) as content:
            entry.content = content
            tree.add(entry)


def _unpack_tar(archive: BinaryIO, kind: str, tree: _Tree) -> None:
    packing = kind.removeprefix("tar").removeprefix(".")
    # headers and padding are not content: each entry may add two blocks and an extended header
    stream = plain(archive, packing, tree.max_bytes + tree.max_entries * 4096)
    reader = TarReader(stream, limits=_TAR_LIMITS)
    try:
        for member in reader:
            tree.add(_tar_entry(reader, member))
    except TarDamaged as error:
        raise BadArchive(
            f"The tar archive ends too early or is damaged: {error}.", hint=_AGAIN
        ) from None
    except TarTooLarge as error:
        raise BadArchive(error.what, hint=_AGAIN) from None
    _read_to_end(stream)


def _tar_entry(reader: TarReader, member: Member) -> _Entry:
    entry = _Entry(
        name=member.name, mode=member.mode, is_folder=member.kind is Kind.FOLDER, size=member.size
    )
    if member.kind is Kind.LINK:
        entry.symlink = member.link
    elif member.kind is Kind.HARD_LINK:
        entry.hard_link = member.link
    elif member.sparse:
        entry.strange = "a sparse file"
    elif member.kind is Kind.FILE:
        entry.content = reader
    elif member.kind is not Kind.FOLDER:
        entry.strange = "a device, pipe or another special file"
    return entry


def _read_to_end(stream: Plain) -> None:
    """Read the padding.

    The last block of a complete tar is zeros (POSIX pax, "ustar Interchange Format").
    """
    while stream.read(_CHUNK):
        pass
    if stream.tail[-512:].strip(b"\0") or len(stream.tail) < 512:
        raise BadArchive(
            "The tar archive ends too early: its end mark is missing.", hint="Upload it again."
        )


def _unwrap(target: Folder) -> str:
    """If everything is in one folder, make that folder the source. Return its name, or ""."""
    names = target.names()
    if len(names) != 1 or not target.is_folder(names[0]):
        return ""
    inner = target.names(names[0])
    aside = next(
        name
        for name in (f".unwrapped{number}" for number in range(len(inner) + 1))
        if name not in inner
    )
    target.rename(names[0], aside)
    for name in inner:
        target.rename(f"{aside}/{name}", name)
    target.remove(aside)
    return names[0]


def _leads_out(tree: Folder, name: str) -> bool:
    """Return whether a link leads out of the tree, also through other links.

    A link that leads in a circle or to nothing does not.
    """
    waiting = list(reversed(name.split("/")))
    at: list[str] = []
    links = 0
    while waiting:
        part = waiting.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not at:
                return True
            at.pop()
            continue
        place = "/".join((*at, part))
        found = tree.find(place)
        if found is not None and stat.S_ISLNK(found.st_mode):
            links += 1
            if links > _MOST_LINKS:
                return False
            text = tree.read_link(place)
            if text.startswith("/"):
                return True
            waiting.extend(reversed(text.split("/")))
            continue
        at.append(part)
    return False
