"""Pack a folder for a deploy, without what .gitignore and .slipwayignore exclude.

In a git repository git itself decides what is ignored (git-ls-files(1)); so tracked files are
packed even if a pattern matches them. Elsewhere the .gitignore files of the folder count. Patterns
of .slipwayignore have the same form and are applied to both.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pathspec import GitIgnoreSpec

from slipway_cli.errors import CommandFailed, ExitCode

IGNORE_FILE = ".slipwayignore"
_NEVER = {".git", ".hg", ".svn"}


@dataclass(frozen=True, slots=True)
class Packed:
    """The content of an archive: the number of files, and their size in bytes unpacked."""

    files: int
    size: int


def pack(folder: Path, target: IO[bytes]) -> Packed:
    """Write a tar.gz of a folder. Raise CommandFailed if nothing is left to pack.

    Links stay links. Times and owners are left out: equal folders give equal archives.
    """
    if not folder.is_dir():
        raise CommandFailed(
            f"{folder} is not a folder.",
            hint="Name the folder that has the app's code.",
            code=ExitCode.USAGE,
        )
    files = size = 0
    with (
        gzip.GzipFile(fileobj=target, mode="wb", compresslevel=6, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(names(folder)):
            path = folder / name
            try:
                entry = archive.gettarinfo(path, arcname=name)
            except FileNotFoundError:
                continue  # removed since it was listed
            if not (entry.isreg() or entry.issym() or entry.islnk()):
                continue  # a source has no sockets, pipes or devices
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime = 0
            if entry.isreg():
                with path.open("rb") as content:
                    archive.addfile(entry, content)
            else:
                archive.addfile(entry)
            files += 1
            size += entry.size
    if not files:
        raise CommandFailed(
            f"{folder} has no files to deploy.",
            hint=f"Check .gitignore and {IGNORE_FILE}: they exclude everything else.",
        )
    return Packed(files=files, size=size)


def names(folder: Path) -> Iterator[str]:
    """Yield the relative names of the files and links to pack."""
    extra = _patterns(folder / IGNORE_FILE)
    listed = _tracked(folder)
    for name in _walked(folder) if listed is None else listed:
        if extra is None or not extra.match_file(name):
            yield name


def _tracked(folder: Path) -> Iterator[str] | None:
    """Return what git would add, or None outside of a repository."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    except OSError:
        return None
    if done.returncode != 0:
        return None
    found = dict.fromkeys(os.fsdecode(name) for name in done.stdout.split(b"\0") if name)
    return _with_submodules(folder, list(found))


def _with_submodules(folder: Path, found: list[str]) -> Iterator[str]:
    """Yield the names, and in place of a submodule's folder what it contains."""
    for name in found:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            yield from (f"{name.rstrip('/')}/{below}" for below in names(path))
        else:
            yield name


def _walked(folder: Path) -> Iterator[str]:
    """Yield the files below a folder that no .gitignore on the way excludes."""
    ignored: dict[Path, GitIgnoreSpec] = {}
    for place, folders, files in os.walk(folder):
        here = Path(place)
        if patterns := _patterns(here / ".gitignore"):
            ignored[here] = patterns
        above = [(base, spec) for base, spec in ignored.items() if here.is_relative_to(base)]

        def excluded(
            path: Path, ending: str, above: list[tuple[Path, GitIgnoreSpec]] = above
        ) -> bool:
            return any(
                spec.match_file(path.relative_to(base).as_posix() + ending) for base, spec in above
            )

        links = [name for name in folders if (here / name).is_symlink()]
        folders[:] = sorted(
            name
            for name in folders
            if name not in _NEVER and name not in links and not excluded(here / name, "/")
        )
        for name in sorted([*files, *links]):
            if not excluded(here / name, ""):
                yield (here / name).relative_to(folder).as_posix()


def _patterns(file: Path) -> GitIgnoreSpec | None:
    try:
        lines = file.read_text("utf-8", errors="surrogateescape").splitlines()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    return GitIgnoreSpec.from_lines(lines)
