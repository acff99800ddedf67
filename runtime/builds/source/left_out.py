"""Decide which folders of an upload are left out: those that tools make, and a build makes again.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

MOST_ENTRIES = 500_000  # in folders that are left out
MOST_BYTES = 4 << 30  # of an archive, for folders that are left out
_JUNK = frozenset({"__MACOSX", ".DS_Store", ".hg", ".svn", "Thumbs.db"})  # without a line in a log
_MADE = frozenset({".git", ".venv", "__pycache__", "node_modules"})
_PACKAGES = "node_modules"
# A server that was built before the upload has its packages in one of these.
_OUTPUTS = frozenset({".next", ".output", "build", "dist", "standalone"})
_ENVIRONMENT = "pyvenv.cfg"  # marks a virtual environment of Python (PEP 405)


def is_junk(parts: tuple[str, ...]) -> bool:
    """Return whether a path is of a file manager or an old version control system."""
    return bool(_JUNK & set(parts)) or parts[-1].startswith("._")


def made_folder(parts: tuple[str, ...]) -> str:
    """Return the name of the folder that is left out and has this path, "" if there is none."""
    for place, part in enumerate(parts):
        if part in _MADE and not (part == _PACKAGES and _OUTPUTS & set(parts[:place])):
            return part
    return ""


def environments(paths: Iterable[str]) -> frozenset[str]:
    """Return the folders that are virtual environments of Python.

    A single top folder is the app itself, even if it is also an environment.
    """
    names = list(paths)
    tops = {name.partition("/")[0] for name in names}
    marked = {
        name.removesuffix(f"/{_ENVIRONMENT}") for name in names if name.endswith(f"/{_ENVIRONMENT}")
    }
    return frozenset(marked - tops if len(tops) == 1 else marked)


def folder_above(path: str, folders: AbstractSet[str]) -> str:
    """Return the topmost of `folders` that has this path, "" if none has."""
    parts = path.split("/")
    above = ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return next((folder for folder in above if folder in folders), "")


def sentence(names: Mapping[str, int]) -> str:
    """Return the line for the log: each folder that was left out, with its number of entries."""
    if not names:
        return ""
    shown = ", ".join(
        f"{name} ({count:,} {'entry' if count == 1 else 'entries'})"
        for name, count in sorted(names.items())
    )
    return f"Left out of the source: {shown}. The build makes what it needs of them."
