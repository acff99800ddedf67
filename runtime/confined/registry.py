"""The functions that a confined helper may run.

They are marked with `confined`, in modules that the zygote loads before its root becomes empty.
"""

from __future__ import annotations

from collections.abc import Callable
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
    "runtime.images.layers.diff",
    "runtime.images.layers.packing",
    "runtime.images.layers.sanitizing",
    "runtime.images.layers.written",
    "runtime.stacks.upgrade_facts",
)

_marked: dict[str, Callable[..., object]] = {}


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


def name_of(function: Callable[..., object]) -> str:
    """Return the name of a function in messages."""
    return f"{function.__module__}:{function.__qualname__}"


def find(name: str) -> Callable[..., object]:
    """Return the marked function with this name. Raise KeyError if there is none."""
    return _marked[name]
