"""Parse what git prints about pushed objects. The data is not trusted. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from portal.errors import SourceRefused, SourceTooLarge

MOST_ENTRIES = 50_000  # files and folders; the same limit as for an uploaded archive
LONGEST_PATH = 2048  # bytes
DEEPEST = 64  # folders
_LONGEST_LINK = 4095  # bytes, the limit of symlink(2)
_LONGEST_SUBJECT = 200
_LATIN = {b"iso-8859-1", b"latin1", b"latin-1"}
_SUBMODULE = b"160000"
_ENTRY = re.compile(rb"(\d{6}) (blob|tree|commit) [0-9a-f]+ +(\d+|-)\t(.*)", re.DOTALL)


def subject_of(commit: bytes) -> str:
    """Return the first paragraph of a commit message as one printable line of at most 200
    characters. `commit` may be truncated."""
    head, _, message = commit.partition(b"\n\n")
    return _printable(message.lstrip(b"\n").partition(b"\n\n")[0], head)


def author_of(commit: bytes) -> str:
    """Return the name of a commit's author as one printable line of at most 200 characters. Empty
    if it has none."""
    head = commit.partition(b"\n\n")[0]
    written = next((line[7:] for line in head.split(b"\n") if line.startswith(b"author ")), b"")
    return _printable(written.partition(b"<")[0], head)


def _printable(text: bytes, head: bytes) -> str:
    encoding = next(
        (line[9:].strip().lower() for line in head.split(b"\n") if line.startswith(b"encoding ")),
        b"utf-8",
    )
    decoded = text[: 8 * _LONGEST_SUBJECT].decode(
        "latin-1" if encoding in _LATIN else "utf-8", errors="replace"
    )
    printable = "".join(character if character.isprintable() else " " for character in decoded)
    return " ".join(printable.split())[:_LONGEST_SUBJECT]


@dataclass(slots=True, kw_only=True)
class Census:
    """Counts the entries of a tree while they are listed (git-ls-tree(1), `-r -t -l -z`). `add`
    raises if a limit of deploys is exceeded."""

    most_bytes: int
    entries: int = 0
    size: int = 0

    def add(self, record: bytes) -> None:
        """Count one entry."""
        match = _ENTRY.fullmatch(record)
        if match is None:
            raise SourceRefused(
                "The commit's files could not be listed.", hint="Run `git fsck` in your repository."
            )
        mode, _, size, path = match.groups()
        if mode == _SUBMODULE:
            raise SourceRefused(
                f"{_shown(path)} is a git submodule. Its files are not in this repository, so the"
                " app would get an empty folder.",
                hint=(
                    "Commit its files instead of the submodule (git rm --cached FOLDER, delete"
                    " FOLDER/.git, git add FOLDER), or upload an archive that has them."
                ),
            )
        self.entries += 1
        self.size += int(size) if size != b"-" else 0
        if self.entries > MOST_ENTRIES:
            raise SourceTooLarge(
                f"The commit has too many files and folders. The limit is {MOST_ENTRIES:,}.",
                hint=(
                    "Leave out files that the build does not need, such as dependencies, build"
                    " results and data."
                ),
            )
        if self.size > self.most_bytes:
            raise SourceTooLarge(
                f"The commit's files are too large. The limit is {self.most_bytes // 2**20} MiB.",
                hint=(
                    "Leave out files that the build does not need, such as dependencies, build"
                    " results and data."
                ),
            )
        if len(path) > LONGEST_PATH or path.count(b"/") >= DEEPEST:
            raise SourceRefused(
                f"The commit has a path that is too long or too deep: {_shown(path)}",
                hint=f"The limits of a path are {LONGEST_PATH:,} bytes and {DEEPEST} folders.",
            )
        if mode == b"120000" and int(size) > _LONGEST_LINK:
            raise SourceRefused(
                f"The target of the link {_shown(path)} is longer than {_LONGEST_LINK:,} bytes.",
                hint="Remove the link.",
            )


def _shown(path: bytes) -> str:
    text = "".join(
        character if character.isprintable() else "?" for character in path.decode(errors="replace")
    )
    return text if len(text) <= 80 else f"{text[:77]}..."
