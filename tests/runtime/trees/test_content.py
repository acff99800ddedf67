"""Tests of the copy of a file's bytes."""

from __future__ import annotations

from pathlib import Path

from runtime.process import run
from runtime.trees.content import copy_content


def test_a_sparse_copy_keeps_bytes_and_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.write(b"first")
        file.seek(50 * 2**20)
        file.write(b"last")
        file.truncate(100 * 2**20)
    with source.open("rb") as old, target.open("xb") as new:
        copy_content(old.fileno(), new.fileno())
    assert target.stat().st_size == source.stat().st_size
    assert target.stat().st_blocks * 512 < 2**20
    run(["cmp", source, target])
