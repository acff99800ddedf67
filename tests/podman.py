"""Podman and Buildah with storage of the test's own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.process import Completed, run


class Podman:
    """`folder` has a short name: podman takes no long one."""

    def __init__(self, folder: Path) -> None:
        self._storage = ("--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs")
        self._environment = {**os.environ, "TMPDIR": str(folder)}
        self._temporary = ("--tmpdir", f"{folder}/tmp")

    def podman(self, *words: str) -> Completed:
        return run(["podman", *self._storage, *self._temporary, *words], timeout=280, env=self._environment)

    def buildah(self, *words: str) -> Completed:
        return run(["buildah", *self._storage, *words], timeout=280, env=self._environment)


@contextmanager
def podman() -> Iterator[Podman]:
    """Gone afterwards, with all its images."""
    folder = Path(tempfile.mkdtemp(prefix="pod-"))
    try:
        yield Podman(folder)
    finally:
        shutil.rmtree(folder)
