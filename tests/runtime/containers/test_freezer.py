"""Tests of the freezer of control groups version 2, on the machine's own hierarchy.

The commit tests use version 1 here.
"""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.containers.cgroups.v2 import UnifiedCgroups
from runtime.kernel import Kernel
from tests.runtime.containers.conftest import settle

COUNTS = 'number=0; while :; do number=$((number+1)); echo $number > "$0"; done'


@pytest.fixture
def group() -> Iterator[tuple[UnifiedCgroups, Path]]:
    """Create a container's group without controllers. The freezer needs none."""
    mounts = [mount.target for mount in Kernel().mounts() if mount.kind == "cgroup2"]
    if not mounts:
        pytest.skip("cgroup2 is mounted nowhere on this machine")
    name = f"t{secrets.token_hex(3)}"
    cgroups, path = UnifiedCgroups(name, mounts[0]), mounts[0] / name / "team1" / "web"
    try:
        path.mkdir(parents=True)
    except OSError as refused:
        pytest.skip(f"{mounts[0]} does not accept groups here: {refused.strerror}")
    yield cgroups, path
    cgroups.kill(1, "web")
    cgroups.remove_all()
    assert not path.parent.parent.exists()


def test_a_frozen_group_stops_until_it_is_thawed(
    group: tuple[UnifiedCgroups, Path], tmp_path: Path
) -> None:
    cgroups, path = group
    count = tmp_path / "count"
    with subprocess.Popen(["sh", "-c", COUNTS, str(count)]) as program:
        (path / "cgroup.procs").write_text(str(program.pid))
        settle(lambda: count.exists() and count.read_text(), 20)
        assert not cgroups.is_frozen(1, "web")
        for _ in range(2):  # a repetition succeeds
            cgroups.freeze(1, "web", frozen=True)
            cgroups.wait_until_frozen(1, "web")
        assert cgroups.is_frozen(1, "web")
        standing = count.read_text()
        time.sleep(0.1)
        assert count.read_text() == standing
        for _ in range(2):
            cgroups.freeze(1, "web", frozen=False)
        settle(lambda: count.read_text() not in ("", standing), 20)
        program.kill()


def test_freezing_and_thawing_a_removed_group_succeeds(group: tuple[UnifiedCgroups, Path]) -> None:
    cgroups, _ = group
    cgroups.freeze(1, "gone", frozen=True)
    cgroups.wait_until_frozen(1, "gone")
    assert not cgroups.is_frozen(1, "gone")
    cgroups.freeze(1, "gone", frozen=False)
