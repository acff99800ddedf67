"""Tests that skopeo runs in the control group of the image's team, and within its limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.confined.groups import in_use, use_groups
from runtime.containers.cgroups.helper_groups import HelperGroups
from runtime.containers.cgroups.version import open_cgroups
from runtime.errors import LimitReached
from runtime.images.exchange.transfer import Transfer
from runtime.kernel import Kernel
from tests.runtime.images.conftest import Yard

TEAM = 61
NAME = "ttransfer"


@pytest.fixture(autouse=True)
def groups(yard: Yard) -> Iterator[None]:
    before = list(in_use)
    config = replace(yard.config, name=NAME)
    use_groups(HelperGroups(config))
    yield
    in_use[:] = before
    cgroups = open_cgroups(config.cgroup_parent, Kernel())
    assert not cgroups.known(), "the group is removed after the transfer"
    cgroups.remove_all()


def test_skopeo_runs_in_the_teams_group(yard: Yard, tmp_path: Path) -> None:
    image = yard.image(yard.layer("base"))
    target = tmp_path / "image.tar"
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    groups = (process / "cgroup").read_text()
                    # Read it after the groups: an exiting process has no command line, and version
                    # 1 then shows "/".
                    command = (process / "cmdline").read_bytes()
                    if command.startswith(b"skopeo\0") and str(target).encode() in command:
                        seen.add(groups)

    thread = threading.Thread(target=watch)
    thread.start()
    Transfer(yard.config, yard.store, team=TEAM).send(image, f"oci-archive:{target}:team/app:1")
    over.set()
    thread.join()
    assert seen
    assert all(f"/builds/team{TEAM}/helper-" in groups for groups in seen), seen


def test_an_image_that_needs_too_much_memory_is_refused(yard: Yard, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    (layout / "blobs" / "sha256").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    with (layout / "index.json").open("wb") as index:
        index.write(b'{"schemaVersion": 2, "annotations": {"long": "')
        for _ in range(1200):
            index.write(b"x" * (1 << 20))
    with pytest.raises(
        LimitReached, match=r"could not be transferred: that needed more than 768 MiB of memory"
    ):
        Transfer(yard.config, yard.store, team=TEAM).import_from(f"oci:{layout}:x")
    (layout / "index.json").unlink()
