"""Tests of the disk reserve.

The node releases it in portions when the disk is full, and allocates it again when there is room.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.config import NodeConfig
from runtime.contract.quantities import Bytes
from runtime.kernel import Kernel
from runtime.reserve import Reserve, decide

MiB = 2**20
DISK = 2048 * MiB


@pytest.fixture
def config(tmp_path: Path) -> Iterator[NodeConfig]:
    """Return the configuration of a node whose state is on its own disk."""
    state = tmp_path / "state"
    state.mkdir()
    Kernel().mount("tmpfs", state, "tmpfs", options=f"size={DISK}")
    yield NodeConfig(state=state, run=tmp_path / "run", disk_reserve=80 * MiB)
    Kernel().unmount(state)


def fill(folder: Path, left: int = 0) -> Path:
    """Fill the disk except for `left` bytes. Allocate the space without writing it."""
    disk = os.statvfs(folder)
    path = folder / "ballast"
    with path.open("ab") as file:
        start = file.tell()
        os.posix_fallocate(file.fileno(), start, disk.f_bavail * disk.f_frsize - left)
    return path


def test_the_reserve_is_released_in_portions_and_restored(config: NodeConfig) -> None:
    reserve = Reserve(config)
    assert reserve.round() == ""
    assert reserve.held == 80 * MiB
    assert reserve.describe() == ""
    ballast = fill(config.state)
    assert "32 MiB of the reserve were released, 48 MiB are left" in reserve.round()
    assert reserve.round() == "", "there is room now"
    assert "48 MiB of the reserve of 80 MiB are left" in reserve.describe()
    (config.state / "queue").write_bytes(bytes(20 * MiB))
    assert "16 MiB are left" in reserve.round()
    fill(config.state)
    assert "0 bytes are left" in reserve.round() or reserve.held == 0
    fill(config.state)
    assert reserve.round() == "", "there is nothing left to give"
    ballast.unlink()
    assert "complete again" in reserve.round() or reserve.held == 80 * MiB
    assert reserve.held == 80 * MiB


def test_the_reserve_is_a_small_part_of_a_small_disk(config: NodeConfig) -> None:
    small = Reserve(NodeConfig(state=config.state, run=config.run, disk_reserve=DISK))
    assert small.wanted == Bytes(DISK // 20)


@given(available=st.integers(0, 2**40), held=st.integers(0, 2**30), wanted=st.integers(0, 2**30))
def test_the_reserve_does_not_oscillate(available: int, held: int, wanted: int) -> None:
    size = decide(available=available, held=held, wanted=wanted)
    after = available - (size - held)
    assert after >= 0
    assert decide(available=after, held=size, wanted=wanted) <= size or size > held, (
        "space that was released is not allocated again at once"
    )
    if size > held:
        assert decide(available=after, held=size, wanted=wanted) == size, (
            "space that was allocated is not released at once"
        )
