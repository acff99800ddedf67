"""Users and groups of an image: names in its /etc/passwd and /etc/group. No I/O: the caller reads
those files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from runtime.errors import BadSource

_MOST = 65_535  # the last id of a team's user namespace
Read = Callable[
    [str], str
]  # returns the text of a file of the image by its name, empty if there is none


class Place(Protocol):
    """The origin of a name, such as an instruction."""

    def wrong(self, what: str, *, hint: str) -> BadSource:
        """Return the error that names the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user of a step, or the owner of a copied file."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def account(text: str, read: Read, of: Place) -> Account:
    """Return the account that USER means: `name`, `uid`, `name:group`, `uid:gid`.

    BadSource: the image has no such name.
    """
    user, colon, group = text.partition(":")
    rows = _rows(read, "etc/passwd")
    row = next(
        (
            fields
            for fields in rows
            if len(fields) > 5 and (fields[0] == user or (user.isdigit() and fields[2] == user))
        ),
        None,
    )
    if row is None and not user.isdigit():
        raise of.wrong(
            f"The image has no user {user!r}.",
            hint=f"Create it first: RUN useradd {user}, or use a number.",
        )
    uid = _number(user if row is None else row[2], of)
    gid = (
        _group(group, read, of) if colon and group else (0 if row is None else _number(row[3], of))
    )
    name = row[0] if row else user
    lists_user = (
        fields
        for fields in _rows(read, "etc/group")
        if len(fields) > 3 and name in fields[3].split(",")
    )
    more = (
        ()
        if colon and group
        else tuple(sorted({_number(row[2], of) for row in lists_user} - {gid}))
    )
    return Account(uid=uid, gid=gid, groups=more, home=(row[5] if row else "") or "/")


def owner(text: str, read: Read, of: Place) -> Account:
    """Return the account that --chown means.

    It is like USER, but a single number is also the group's number.
    """
    user, colon, group = text.partition(":")
    if user.isdigit() and not (colon and group):
        return Account(uid=_number(user, of), gid=_number(user, of))
    return account(text if user else f"0:{group}", read, of)


def _group(text: str, read: Read, of: Place) -> int:
    if text.isdigit():
        return _number(text, of)
    row = next(
        (fields for fields in _rows(read, "etc/group") if len(fields) > 2 and fields[0] == text),
        None,
    )
    if row is None:
        raise of.wrong(
            f"The image has no group {text!r}.",
            hint=f"Create it first: RUN groupadd {text}, or use a number.",
        )
    return _number(row[2], of)


def _number(text: str, of: Place) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > _MOST:
        raise of.wrong(
            f"{text!r} is not a valid id in a container.", hint=f"The highest id is {_MOST}."
        )
    return int(text)


def _rows(read: Read, name: str) -> list[list[str]]:
    return [line.split(":") for line in read(name).splitlines()]
