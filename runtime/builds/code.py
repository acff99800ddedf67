"""The app's own code: read from an unpacked source to plan with, and made into the topmost layer."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from runtime import process, stopping
from runtime.builds import appfile_reading, jar
from runtime.builds.appfile import LARGEST, AppFile
from runtime.builds.detect import ALWAYS_READ, Source, wants_text
from runtime.errors import BadSource, BuildFailed
from runtime.quantities import Bytes

APP_UID = APP_GID = 1000
_LARGEST_TEXT = 8 << 20  # lock files grow large
_MOST_TEXT = 32 << 20  # of all that only may matter: a source of text files must not end up in our memory
_FOLDER_TIME = 1_000_000_000  # seconds; folders have no content to take a time from
_FIRST_TIME, _SPAN = 631_152_000, 946_080_000  # 1990, and 30 years


def read_app_file(tree: Path) -> AppFile:
    """What slipway.toml or app.json at the top says; BadSource says what is wrong with it."""
    found: dict[str, bytes] = {}
    for name in appfile_reading.NAMES:
        if (tree / name).is_file():
            with (tree / name).open("rb") as file:
                found[name] = file.read(LARGEST + 1)
    return appfile_reading.read(found)


def read_source(tree: Path, app_file: AppFile) -> Source:
    """The listing, and the texts that tell how to build it."""
    files: set[str] = set()
    texts: dict[str, str] = {}
    left = _MOST_TEXT
    for folder, folders, names in os.walk(tree):
        folders.sort()
        place = Path(folder).relative_to(tree)
        for name in names:
            path = (place / name).as_posix()
            files.add(path)
            if not wants_text(path):
                continue
            if path.endswith(".jar"):
                texts[path] = jar.manifest(tree / path)
                continue
            size = (tree / path).lstat().st_size if path not in ALWAYS_READ else 0
            if size <= left:  # what is not read is not known to be needed: an include of it makes the step read the whole source
                left -= size
                texts[path] = _read_text(tree / path, path)
    return Source(files=frozenset(files), texts=texts, app_file=app_file)


def read_files(tree: Path, names: Iterable[str]) -> dict[str, bytes]:
    """The bytes of some files, for a step's key; they name dependencies, so a huge one is a mistake, or meant to take our memory."""
    found: dict[str, bytes] = {}
    for name in names:
        if (tree / name).stat().st_size > _LARGEST_TEXT:
            raise BadSource(f"{name} is larger than {Bytes(_LARGEST_TEXT)}.", hint="Dependencies are named in far less.")
        found[name] = (tree / name).read_bytes()
    return found


def read_whole(tree: Path) -> dict[str, bytes]:
    """A digest of every file by its name, for the key of a step that reads the whole source."""
    found: dict[str, bytes] = {}
    for folder, folders, names in os.walk(tree):
        folders.sort()
        for name in names:
            stopping.check()
            path = Path(folder, name)
            content = os.fsencode(path.readlink()) if path.is_symlink() else _digest(path)
            found[path.relative_to(tree).as_posix()] = f"{path.lstat().st_mode:o} ".encode() + content
    return found


def leave_out(tree: Path, names: Iterable[str]) -> None:
    """Remove top folders that are made anew."""
    for name in names:
        path = tree / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)


def take(made: Path, into: Path) -> Path:
    """A copy of a folder that a build step made, to go on with as the source. BuildFailed: it holds what is no file, folder or link."""
    if not made.is_dir() or made.is_symlink():
        raise BuildFailed("The build made no folder to go on with.", hint="Its own words are in the build log.")
    for folder, _, names in os.walk(made):
        for name in names:
            mode = Path(folder, name).lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                raise BuildFailed(f"The build made {name}, which is neither file, folder nor link.", hint="Make files alone.")
    process.run(["setpriv", "--pdeathsig", "KILL", "cp", "-a", made, into], timeout=600, stoppable=True)
    into.chmod(0o755)
    return into


def as_layer(tree: Path, layer: Path) -> Path:
    """Turn the source tree into a layer's: at /app, owned by the app's user, each file's time derived from its content.

    A time that content decides makes the same source the same layer, while whoever compares times (a static server's ETag, an
    import's cache) still sees every change.
    """
    layer.mkdir(mode=0o755)
    tree.rename(layer / "app")
    for folder, _, names in os.walk(layer, topdown=False):
        for name in names:
            stopping.check()
            path = Path(folder, name)
            os.chown(path, APP_UID, APP_GID, follow_symlinks=False)
            moment = _FOLDER_TIME if path.is_symlink() else _moment(path)
            os.utime(path, (moment, moment), follow_symlinks=False)
        if folder != str(layer):
            os.chown(folder, APP_UID, APP_GID)
        os.utime(folder, (_FOLDER_TIME, _FOLDER_TIME))
    return layer


def _moment(path: Path) -> int:
    return _FIRST_TIME + int(_digest(path).hex()[:8], 16) % _SPAN


def _digest(path: Path) -> bytes:
    """A file may be as large as the whole source: never read at once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _read_text(path: Path, name: str) -> str:
    try:
        status = path.stat()
    except OSError:  # a link to nothing, or in a circle
        return ""
    if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_TEXT:
        return ""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if "/" in name or name.endswith(".py"):
            return ""
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")  # what PowerShell's > writes
        raise BadSource(f"{name} is not UTF-8 text.", hint="Save it as UTF-8.") from None
