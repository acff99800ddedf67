"""The functions that a confined helper may run.

They are marked with `confined`, in modules that the zygote loads before its root becomes empty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# The zygote loads these while it still has a file tree. `confined` refuses functions of other
# modules.
MODULES = (
    "runtime.builds.source.archive",
    "runtime.builds.source.code",
    "runtime.builds.native.linked",
    "runtime.builds.packages.cache_size",
    "runtime.builds.dockerfile.work",
    "runtime.confined.probe",
    "runtime.confined.removal",
    "runtime.containers.disk.mount_points",
    "runtime.images.layers.diff",
    "runtime.images.layers.release_diff",
    "runtime.images.layers.packing",
    "runtime.images.layers.sanitizing",
    "runtime.images.layers.written",
    "runtime.stacks.upgrade_facts",
    "runtime.volumes.contents",
)

_marked: dict[str, Callable[..., object]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLimits:
    """The limits of a function's answer, which the host parses in its own memory."""

    length: int  # bytes of JSON
    values: int


_SMALL = AnswerLimits(length=8 << 20, values=100_000)
_LARGE = AnswerLimits(length=32 << 20, values=1_000_000)
_returns_much: set[str] = set()


def confined(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function as one that works on tenants' bytes and so runs in a helper.

    See `session.Session.call`. Its parameters and result are folders, open files, text, numbers,
    bytes, and frozen dataclasses, tuples and mappings of those.
    """
    if function.__module__ not in MODULES:
        raise TypeError(
            f"{function.__module__} is not among the modules of runtime.confined.registry"
        )
    _marked[name_of(function)] = function
    return function


def returns_many_names(function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function that returns the content or names of many files."""
    _returns_much.add(name_of(function))
    return function


def limits_of(name: str) -> AnswerLimits:
    """Return the limits of the answer of the function with this name."""
    return _LARGE if name in _returns_much else _SMALL


def name_of(function: Callable[..., object]) -> str:
    """Return the name of a function in messages."""
    return f"{function.__module__}:{function.__qualname__}"


def find(name: str) -> Callable[..., object]:
    """Return the marked function with this name. Raise KeyError if there is none."""
    return _marked[name]
