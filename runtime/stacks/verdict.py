"""Decide whether an image's upper layers work on a newer version of the layers below.

Pure: takes two inventories, returns reasons.
The upper layers were made on the old foundation. They may hold programs linked with its
libraries, modules for its language,
and changed copies of its files.
They are sound on the new foundation if it has everything that they may depend on, and they hide
none of its new files.
If that cannot be decided, they are not sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runtime.stacks.packages.debian_version import earlier

_SHOWN = 5  # number of names in a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """The parts of a foundation on which upper layers may depend."""

    stack: str
    runtimes: tuple[
        str, ...
    ]  # names: Python's with the minor version, Node.js's with the full version
    suite: str  # VERSION_CODENAME of its os-release
    packages: Mapping[str, str]  # installed Debian packages -> version
    libraries: frozenset[str]  # "libssl 3": name and ABI, as packages declare them


@dataclass(frozen=True, slots=True, kw_only=True)
class Upper:
    """The changes of the upper layers to the foundation."""

    hidden: tuple[
        str, ...
    ] = ()  # paths that they replace or delete, and that differ between the two foundations
    package_state: bool = False  # they change dpkg's own records


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict: sound if there is no reason against it."""

    reasons: tuple[str, ...] = ()  # sentences

    @property
    def sound(self) -> bool:
        return not self.reasons


def judge(old: Contents, new: Contents, upper: Upper) -> Verdict:
    """Return the verdict with every reason against it, not only the first."""
    reasons = []
    if old.stack != new.stack:
        reasons.append(f"The stack is different: {old.stack} before, {new.stack} now.")
    if old.suite != new.suite:
        reasons.append(
            f"{new.stack} was built from {old.suite or 'an unnamed suite'} and is built from"
            f" {new.suite or 'an unnamed suite'} now."
        )
    if old.runtimes != new.runtimes:
        reasons.append(
            f"The language is different: {_list(old.runtimes)} before, {_list(new.runtimes)} now."
        )
    if not old.packages or not new.packages:
        reasons.append(
            "The stack has no list of Debian packages, so it is not known whether its libraries are"
            " the same."
        )
    if gone := old.packages.keys() - new.packages.keys():
        reasons.append(f"Packages that the app's layers may use are gone: {_list(sorted(gone))}.")
    back = [
        name
        for name, version in old.packages.items()
        if name in new.packages and earlier(new.packages[name], version)
    ]
    if back:
        changes = [
            f"{name} from {old.packages[name]} to {new.packages[name]}" for name in sorted(back)
        ]
        reasons.append(f"Packages have an earlier version than before: {_list(changes)}.")
    if lost := old.libraries - new.libraries:
        reasons.append(f"Libraries are gone, or have another ABI: {_list(sorted(lost))}.")
    if upper.package_state:
        reasons.append(
            "The app's layers contain packages installed by apt or dpkg, whose records would"
            " contradict those of the new stack."
        )
    elif upper.hidden:
        reasons.append(
            "The app's layers replace files that the new stack changes:"
            f" {_list([f'/{path}' for path in upper.hidden])}."
        )
    return Verdict(reasons=tuple(reasons))


def _list(words: Iterable[str]) -> str:
    found = list(words)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (", ".join(found[:_SHOWN]) or "none") + more
