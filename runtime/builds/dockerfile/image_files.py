"""Read files of an image while its Dockerfile is built."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from runtime.builds.dockerfile import work
from runtime.builds.dockerfile.accounts import Read
from runtime.confined.session import Session


def reader(layers: tuple[Path, ...], helper: Session) -> Read:
    """Return a function that reads a file of an image."""

    def read(name: str) -> str:
        with ExitStack() as stack:
            trees = tuple(stack.enter_context(helper.tree(layer)) for layer in layers)
            return helper.call(work.read_text, layers=trees, name=name)

    return read
