"""The tree that an archive is unpacked into: each entry is checked before it is written."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from runtime import cancellation
from runtime.builds.source import left_out, pointers
from runtime.builds.source.decompress import too_large
from runtime.errors import BadArchive
from runtime.trees.folder import Folder
from runtime.trees.plain import Source

_MAX_NAME, MAX_PATH, _MAX_DEPTH = 255, 2048, 64


CHUNK = 1 << 18


_MOST_LINKS = 40  # as in the kernel


AGAIN = "Make the archive again from the app's own files."


@dataclass(slots=True, kw_only=True)
class Entry:
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
class UnpackedTree:
    """The tree that is unpacked, with the checks that depend on earlier entries."""

    root: Folder
    max_bytes: int = field(kw_only=True)
    max_entries: int = field(kw_only=True)
    files: int = 0
    size: int = 0
    left_out: dict[str, int] = field(default_factory=dict)  # folder -> number of its entries
    _entries: int = 0
    _seen: dict[str, str] = field(default_factory=dict)  # path -> folder, file or link
    _symlinks: list[str] = field(default_factory=list)
    _outward: dict[str, str] = field(default_factory=dict)  # links to elsewhere, not made
    _folder_modes: dict[str, int] = field(default_factory=dict)
    _pointers: list[str] = field(default_factory=list)  # of Git LFS

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

    def add(self, entry: Entry) -> None:
        """Check one entry and write it, unless it is left out."""
        parts = parts_of(entry.name)
        if folder := left_out.made_folder(parts):
            self._leave_out(folder)
            return
        self.count()
        if not parts or left_out.is_junk(parts):
            return
        if entry.strange:
            raise BadArchive(
                f"The archive contains {entry.strange}: {entry.name!r}. Only files, folders and"
                " links are allowed.",
                hint=AGAIN,
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
            raise BadArchive(f"The archive contains the name {path!r} twice.", hint=AGAIN)
        self._make_folders(parts[:-1])
        if entry.symlink is not None:
            self._make_symlink(path, entry.symlink)
        elif entry.hard_link is not None:
            self._make_hard_link(path, entry.hard_link)
        else:
            self._write(path, entry)
        self.files += 1

    def remove_environments(self) -> None:
        """Remove the virtual environments of Python, whatever their names.

        BadArchive: another folder has a link that leads elsewhere.
        """
        found = left_out.environments(self._seen)
        for path, leads_to in self._outward.items():
            if not left_out.folder_above(path, found):
                raise BadArchive(
                    f"The link {path!r} points to {leads_to!r}, outside the archive.",
                    hint="Links may point only to files in the archive.",
                )
        for path in list(self._seen) if found else ():
            if not (folder := left_out.folder_above(path, found)):
                continue
            self.left_out[folder] = self.left_out.get(folder, 0) + 1
            self.files -= self._seen[path] != "folder"
            self._folder_modes.pop(path, None)
            if path == folder:
                self.root.remove(folder)
        if found:
            self._symlinks = [
                path for path in self._symlinks if not left_out.folder_above(path, found)
            ]
            self._pointers = [
                path for path in self._pointers if not left_out.folder_above(path, found)
            ]

    def _leave_out(self, folder: str) -> None:
        cancellation.check()
        self.left_out[folder] = self.left_out.get(folder, 0) + 1
        if sum(self.left_out.values()) > left_out.MOST_ENTRIES:
            raise BadArchive(
                f"The archive has more than {left_out.MOST_ENTRIES:,} entries in"
                f" {', '.join(sorted(self.left_out))}.",
                hint="Pack the app's own files only.",
            )

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

    def check_pointers(self, unwrapped: str) -> None:
        """Raise BadArchive if a file is only a pointer of Git LFS."""
        if self._pointers:
            raise pointers.refusal([path.removeprefix(f"{unwrapped}/") for path in self._pointers])

    def _make_folders(self, parts: tuple[str, ...]) -> None:
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            kind = self._seen.setdefault(path, "folder")
            if kind != "folder":
                raise BadArchive(
                    f"The archive contains the name {path!r} twice: as a {kind} and as a folder.",
                    hint=AGAIN,
                )
            if not self.root.is_folder(path):
                self.root.make_folder(path)

    def _make_symlink(self, path: str, leads_to: str) -> None:
        inside = os.path.normpath(os.path.join(os.path.dirname(path), leads_to))  # noqa: PTH118, PTH120  # text, not files
        self._seen[path] = "link"
        if not leads_to or "\0" in leads_to or leads_to.startswith("/") or inside.startswith(".."):
            self._outward[path] = leads_to
            return
        self._symlinks.append(path)
        self.root.make_link(path, leads_to)

    def _make_hard_link(self, path: str, name: str) -> None:
        original = "/".join(parts_of(name))
        if self._seen.get(original) != "file":
            raise BadArchive(
                f"{path!r} is a hard link to {name!r}, which is not an earlier file of the"
                " archive.",
                hint=AGAIN,
            )
        self._seen[path] = "file"
        self.root.make_hard_link(path, original)

    def _write(self, path: str, entry: Entry) -> None:
        if self.size + entry.size > self.max_bytes:
            raise BadArchive(
                too_large(self.max_bytes),
                hint="Leave out files that the app does not need: data, media, build output.",
            )
        self._seen[path] = "file"
        mode = (entry.mode & 0o777 or 0o644) | stat.S_IRUSR
        head = b""  # of a file that may be a pointer
        with self.root.create_file(path, mode) as file:
            while entry.content is not None and (chunk := entry.content.read(CHUNK)):
                self.size += len(chunk)
                if self.size > self.max_bytes:
                    raise BadArchive(
                        too_large(self.max_bytes),
                        hint=(
                            "Leave out files that the app does not need: data, media, build output."
                        ),
                    )
                file.write(chunk)
                if len(head) <= pointers.LARGEST:
                    head += chunk[: pointers.LARGEST + 1]
        if pointers.is_pointer(head):
            self._pointers.append(path)


def parts_of(name: str) -> tuple[str, ...]:
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
        or len(name) > MAX_PATH
        or len(parts) > _MAX_DEPTH
        or any(len(os.fsencode(part)) > _MAX_NAME for part in parts)
    ):
        raise BadArchive(
            f"The archive contains the name {name[:80]!r}…, which is not a valid file name.",
            hint="Shorten it.",
        )
    return parts


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
