"""Podman and Buildah with the test's own storage."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.process import Completed, run


class Podman:
    """Podman and Buildah in a folder. Its name is short, because podman refuses long names."""

    def __init__(self, folder: Path) -> None:
        self._storage = (
            "--root",
            f"{folder}/root",
            "--runroot",
            f"{folder}/run",
            "--storage-driver",
            "vfs",
        )
        self._environment = {**os.environ, "TMPDIR": str(folder)}
        self._temporary = ("--tmpdir", f"{folder}/tmp")

    def podman(self, *words: str) -> Completed:
        return run(
            ["podman", *self._storage, *self._temporary, *words], timeout=280, env=self._environment
        )

    def buildah(self, *words: str) -> Completed:
        return run(["buildah", *self._storage, *words], timeout=280, env=self._environment)


def short_folder(prefix: str, where: Path | None = None) -> Path:
    """Create a private folder with a path that can be part of an image's name.

    Podman and Buildah refuse a name with an underscore at an end.
    """
    folder = (where or Path(tempfile.gettempdir())) / f"{prefix}{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    return folder


@contextmanager
def podman() -> Iterator[Podman]:
    """Yield Podman; afterwards its folder and all its images are deleted."""
    folder = short_folder("pod-")
    try:
        yield Podman(folder)
    finally:
        shutil.rmtree(folder)
