"""Which functions a confined helper may run: those marked here, in the modules it loaded before its root became empty."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# Loaded by the zygote while it still has a file tree. A function elsewhere that is marked is refused by `confined` itself.
MODULES = (
    "runtime.builds.source.archive",
    "runtime.builds.source.code",
    "runtime.builds.package_cache_size",
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
    """Mark a function as one that works on tenants' bytes and so runs in a helper (see `session.Session.call`).

    Its parameters and result are folders, open files, text, numbers, bytes, and frozen dataclasses, tuples and mappings of those.
    """
    if function.__module__ not in MODULES:
        raise TypeError(f"{function.__module__} is not among the modules of runtime.confined.registry")
    _marked[name_of(function)] = function
    return function


def name_of(function: Callable[..., object]) -> str:
    """How the two sides call a function."""
    return f"{function.__module__}:{function.__qualname__}"


def find(name: str) -> Callable[..., object]:
    """KeyError: nothing marked has this name."""
    return _marked[name]
