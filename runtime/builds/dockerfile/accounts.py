"""Users and groups of an image: names in its /etc/passwd and /etc/group, read from its layers without mounting them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runtime.errors import BadSource

_MOST = 65_533  # ids a team's user namespace has, but for the last two
_LARGEST = 4 << 20


class Place(Protocol):
    """Where a name stands, such as an instruction."""

    def wrong(self, what: str, *, hint: str) -> BadSource:
        """The error that names the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who a step runs as, or whom a copied file belongs to."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def account(text: str, layers: Sequence[Path], of: Place) -> Account:
    """USER's meaning: `name`, `uid`, `name:group`, `uid:gid`. BadSource: the image has no such name."""
    user, colon, group = text.partition(":")
    rows = _rows(layers, "etc/passwd")
    row = next((one for one in rows if len(one) > 5 and (one[0] == user or (user.isdigit() and one[2] == user))), None)
    if row is None and not user.isdigit():
        raise of.wrong(f"The image has no user {user!r}.", hint=f"Make it before: RUN useradd {user}, or use a number.")
    uid = _number(user if row is None else row[2], of)
    gid = _group(group, layers, of) if colon and group else (0 if row is None else _number(row[3], of))
    name = row[0] if row else user
    more = () if colon and group else tuple(
        sorted({_number(one[2], of) for one in _rows(layers, "etc/group") if len(one) > 3 and name in one[3].split(",")} - {gid})
    )  # fmt: skip
    return Account(uid=uid, gid=gid, groups=more, home=(row[5] if row else "") or "/")


def owner(text: str, layers: Sequence[Path], of: Place) -> Account:
    """--chown's meaning: like USER, but a number alone is the group's number too."""
    user, colon, group = text.partition(":")
    if user.isdigit() and not (colon and group):
        return Account(uid=_number(user, of), gid=_number(user, of))
    return account(text if user else f"0:{group}", layers, of)


def _group(text: str, layers: Sequence[Path], of: Place) -> int:
    if text.isdigit():
        return _number(text, of)
    row = next((one for one in _rows(layers, "etc/group") if len(one) > 2 and one[0] == text), None)
    if row is None:
        raise of.wrong(f"The image has no group {text!r}.", hint=f"Make it before: RUN groupadd {text}, or use a number.")
    return _number(row[2], of)


def _number(text: str, of: Place) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > _MOST:
        raise of.wrong(f"{text!r} is no id a container can have.", hint=f"Ids go up to {_MOST}.")
    return int(text)


def _rows(layers: Sequence[Path], name: str) -> list[list[str]]:
    path = find(layers, name)
    if path is None or path.stat().st_size > _LARGEST:
        return []
    return [line.split(":") for line in path.read_text(errors="replace").splitlines()]


def find(layers: Sequence[Path], name: str) -> Path | None:
    """A regular file in the union of layers, topmost first; None: not there, or behind a link."""
    for layer in layers:
        path = layer
        for part in name.split("/"):
            path /= part
            try:
                mode = path.lstat()
            except FileNotFoundError:
                break
            if stat.S_ISREG(mode.st_mode):
                return path
            if not stat.S_ISDIR(mode.st_mode):
                return None  # deleted (0/0), or a link
            if "trusted.overlay.opaque" in os.listxattr(path) and not os.path.lexists(layer / name):
                return None
    return None
