"""Read an unpacked source for planning, and make it the topmost layer.

Runs in a confined helper.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from runtime.builds.languages import jar
from runtime.builds.languages.detect import ALWAYS_READ, wants_text
from runtime.builds.manifest import load
from runtime.confined.registry import confined, returns_many_names
from runtime.contract.manifest import LARGEST
from runtime.contract.quantities import Bytes
from runtime.errors import BadSource, BuildFailed
from runtime.trees.copying import copy_tree
from runtime.trees.folder import Folder
from runtime.trees.links import SymlinkLoop
from runtime.trees.walk import walk

APP_UID = APP_GID = 1000
_LARGEST_TEXT = 8 << 20  # lock files can be large
_MOST_TEXT = 16 << 20  # of all optional texts: a large source must not fill our memory
_FOLDER_TIME = 1_000_000_000  # seconds; folders have no content that could decide a time
_FIRST_TIME, _SPAN = 631_152_000, 946_080_000  # 1990, and 30 years


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The part of a source that planning needs: all names, and the texts that determine the
    build.
    """

    files: frozenset[str]
    texts: dict[str, str]


@confined
def read_app_files(tree: Folder) -> dict[str, bytes]:
    """Return slipway.toml and app.json at the top, if they exist.

    Of a file that is too large, return enough to show that.
    """
    found: dict[str, bytes] = {}
    for name in load.NAMES:
        if (place := file_at(tree, name)) is not None:
            found[name] = tree.read(place, LARGEST + 1)
    return found


@confined
def read_text_file(tree: Folder, name: str, most: int) -> bytes | None:
    """Return at most `most` bytes of one file. None if there is no such file."""
    place = file_at(tree, name)
    return None if place is None else tree.read(place, most)


@confined
@returns_many_names
def read_source(tree: Folder) -> Texts:
    """Return the listing, and the texts that determine how to build it.

    BadSource: one of them is not text.
    """
    files: set[str] = set()
    texts: dict[str, str] = {}
    left = _MOST_TEXT
    for found in walk(tree):
        path = found.path
        if found.is_folder or (
            stat.S_ISLNK(found.status.st_mode) and tree.is_folder(_resolved(tree, path))
        ):
            continue
        files.add(path)
        if not wants_text(path):
            continue
        if path.endswith(".jar"):
            texts[path] = _manifest(tree, path)
            continue
        size = found.status.st_size if path not in ALWAYS_READ else 0
        # An unread file is not known to be needed: if one includes it, the step reads the whole
        # source.
        if size <= left:
            left -= size
            texts[path] = _read_text(tree, path)
    return Texts(files=frozenset(files), texts=texts)


@confined
@returns_many_names
def read_files(tree: Folder, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the bytes of some files, for a step's key.

    They name dependencies, so a huge file is a mistake or an attempt to fill our memory.
    BadSource.
    """
    found: dict[str, bytes] = {}
    for name in names:
        place = file_at(tree, name)
        if place is None:
            raise FileNotFoundError(name)
        if tree.status(place).st_size > _LARGEST_TEXT:
            raise BadSource(
                f"{name} is larger than {Bytes(_LARGEST_TEXT)}.",
                hint="Files that list dependencies are much smaller.",
            )
        found[name] = tree.read(place, _LARGEST_TEXT)
    return found


@confined
@returns_many_names
def digest_files(tree: Folder) -> dict[str, bytes]:
    """Return a digest of every file by its name, for the key of a step that reads the whole
    source.
    """
    found: dict[str, bytes] = {}
    for entry in walk(tree):
        if entry.is_folder:
            continue
        is_link = stat.S_ISLNK(entry.status.st_mode)
        content = (
            os.fsencode(entry.folder.read_link(entry.name))
            if is_link
            else bytes.fromhex(entry.folder.digest(entry.name))
        )
        found[entry.path] = f"{entry.status.st_mode:o} ".encode() + content
    return found


@confined
def leave_out(tree: Folder, names: tuple[str, ...]) -> None:
    """Remove top folders that the build makes again."""
    for name in names:
        if tree.is_folder(name):
            tree.remove(name)


@confined
def copy_output(made: Folder, name: str, into: Folder) -> None:
    """Copy a folder that a build step made, to use it as the source.

    BuildFailed: it contains something that is not a file, folder or link.
    """
    if not made.is_folder(name):
        raise BuildFailed("The build did not create its output folder.", hint="See the build log.")
    with made.subfolder(name) as top:
        for found in walk(top):
            mode = found.status.st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
                raise BuildFailed(
                    f"The build created {found.name}, which is not a file, folder or link.",
                    hint="Create only files.",
                )
        copy_tree(top, into)
    into.set_mode("", 0o755)


@confined
def set_owner_and_times(layer: Folder) -> None:
    """Give the files of a layer to the app's user, and each the time that its content decides.

    So the same source makes the same layer.
    Programs that compare times (a static server's ETag, an import's cache) still see every
    change.
    """
    folders = []
    for found in walk(layer):
        found.folder.set_owner(found.name, APP_UID, APP_GID)
        if found.is_folder:
            folders.append(found.path)
            continue
        is_file = stat.S_ISREG(found.status.st_mode)
        moment = (_moment(found.folder.digest(found.name)) if is_file else _FOLDER_TIME) * 10**9
        found.folder.set_times(found.name, moment, moment)
    for path in (*reversed(folders), ""):
        layer.set_times(path, _FOLDER_TIME * 10**9, _FOLDER_TIME * 10**9)


def file_at(tree: Folder, name: str) -> str | None:
    """Return the path of a regular file of this name, with links followed inside the tree.

    None if there is none.
    """
    place = _resolved(tree, name)
    return place if place and tree.is_file(place) else None


def _resolved(tree: Folder, name: str) -> str:
    try:
        return tree.resolve(name)
    except SymlinkLoop:
        return name


def _moment(digest: str) -> int:
    return _FIRST_TIME + int(digest[:8], 16) % _SPAN


def _manifest(tree: Folder, path: str) -> str:
    place = file_at(tree, path)
    if place is None:
        return ""
    with tree.open_file(place) as file:
        return jar.manifest(file)


def _read_text(tree: Folder, name: str) -> str:
    place = file_at(tree, name)
    if (
        place is None or tree.status(place).st_size > _LARGEST_TEXT
    ):  # a link to nothing or in a circle, or far too long
        return ""
    data = tree.read(place, _LARGEST_TEXT)
    # the tools themselves know the encodings of these
    required = "/" not in name and not name.endswith((".py", ".xml", ".gradle", ".kts"))
    try:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")  # the encoding that PowerShell's > writes
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if not required:
            return ""
        raise BadSource(f"{name} is not UTF-8 text.", hint="Save it as UTF-8.") from None
    if "\0" in text and required:  # valid UTF-8, but no tool would understand it
        raise BadSource(
            f"{name} has zero bytes: it is UTF-16 text without a mark, or not text.",
            hint="Save it as UTF-8.",
        )
    return text
