"""Whether an image's upper layers may stand on a newer version of what is below them. Pure: two inventories in, reasons out.

The upper layers were made over the old foundation, and may hold programs linked with its libraries, modules for its language, and
changed copies of its files. They are sound over the new one when all that they can have relied on is there, and nothing of theirs
hides what is new. What cannot be told is not sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runtime.stacks.debversion import earlier

_SHOWN = 5  # names in a reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What upper layers can rely on in a foundation."""

    stack: str
    runtimes: tuple[str, ...]  # names: a Python's with its minor version, Node.js's with its whole
    suite: str  # VERSION_CODENAME of its os-release
    packages: Mapping[str, str]  # installed Debian packages -> version
    libraries: frozenset[str]  # "libssl 3": name and ABI, as packages declare them


@dataclass(frozen=True, slots=True, kw_only=True)
class Upper:
    """What the layers above do to the foundation."""

    hidden: tuple[str, ...] = ()  # paths they replace or delete which the two foundations have differently
    package_state: bool = False  # they hold changes of dpkg's own records


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Sound without a reason against it."""

    reasons: tuple[str, ...] = ()  # sentences

    @property
    def sound(self) -> bool:
        return not self.reasons


def judge(old: Contents, new: Contents, upper: Upper) -> Verdict:
    """Every reason against it, not only the first."""
    reasons = []
    if old.stack != new.stack:
        reasons.append(f"The stack is another: {old.stack} before, {new.stack} now.")
    if old.suite != new.suite:
        reasons.append(f"{new.stack} was made of {old.suite or 'an unnamed suite'} and is made of {new.suite or 'an unnamed suite'} now.")
    if old.runtimes != new.runtimes:
        reasons.append(f"The language is another: {_list(old.runtimes)} before, {_list(new.runtimes)} now.")
    if not old.packages or not new.packages:
        reasons.append("The stack holds no list of Debian packages, so nothing tells whether its libraries are still the same.")
    if gone := old.packages.keys() - new.packages.keys():
        reasons.append(f"Packages are gone that the app's layers may use: {_list(sorted(gone))}.")
    back = [name for name, version in old.packages.items() if name in new.packages and earlier(new.packages[name], version)]
    if back:
        told = [f"{name} from {old.packages[name]} to {new.packages[name]}" for name in sorted(back)]
        reasons.append(f"Packages went back to an earlier version: {_list(told)}.")
    if lost := old.libraries - new.libraries:
        reasons.append(f"Libraries are gone, or are of another ABI: {_list(sorted(lost))}.")
    if upper.package_state:
        reasons.append("The app's layers hold packages installed by apt or dpkg, whose records would contradict those of the new stack.")
    elif upper.hidden:
        reasons.append(f"The app's layers replace files that the new stack changes: {_list([f'/{path}' for path in upper.hidden])}.")
    return Verdict(reasons=tuple(reasons))


def _list(words: Iterable[str]) -> str:
    found = list(words)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (", ".join(found[:_SHOWN]) or "none") + more
