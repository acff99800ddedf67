"""The branch of an app that deploys: its name is checked, and compared with pushed refs."""

from __future__ import annotations

import re

from portal.errors import ValueRefused

LONGEST = 100
DEFAULT_BRANCHES = ("main", "master")  # both deploy while no branch is set
_HEADS = "refs/heads/"
# The names are part of commands that people paste, so characters of a shell are not allowed.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+@-]*", re.ASCII)


def checked_branch(text: str) -> str:
    """Return the name of a branch, or "" for main and master. Raise ValueRefused if git or our
    messages cannot have it (git-check-ref-format(1))."""
    name = text.strip().removeprefix(_HEADS)
    parts = name.split("/")
    if not name:
        return ""
    if (
        len(name) > LONGEST
        or not _NAME.fullmatch(name)
        or ".." in name
        or any(not part or part.startswith(".") or part.endswith((".", ".lock")) for part in parts)
        or name in ("@", "HEAD")
    ):
        raise ValueRefused(
            f"{name[:LONGEST]!r} is not a valid name of a branch.",
            field="branch",
            hint=(
                f"Use at most {LONGEST} letters, digits and . _ / + @ -, as in release or"
                " feature/cart."
            ),
        )
    return name


def deploys(branch: str, ref: str) -> bool:
    """Return True if a push to this ref deploys an app whose setting is `branch`."""
    return ref in {f"{_HEADS}{name}" for name in ([branch] if branch else DEFAULT_BRANCHES)}


def shown(branch: str) -> str:
    """Return the branch to push to: the set one, or main."""
    return branch or DEFAULT_BRANCHES[0]
