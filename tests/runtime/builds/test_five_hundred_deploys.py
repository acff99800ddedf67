"""Test that frequent deploys of an app do not fill the disk.

It uses a small limit of kept releases and a disk of its own.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.builds.builder import Builder
from runtime.builds.requests import BuildRequest
from runtime.config import NodeConfig
from runtime.containers.lifecycle import Containers
from runtime.images.collect import Roots
from runtime.images.removal import GarbageCollector
from runtime.images.store import Store
from runtime.images.verify import verify
from runtime.kernel import Kernel
from runtime.stacks.definition import DEBIAN_13
from runtime.stacks.versions import identity_of, record
from tests.runtime.builds.conftest import LIMITS

DEPLOYS, EARLY, KEPT = 500, 20, 5


@pytest.fixture
def config(tmp_path: Path) -> Iterator[NodeConfig]:
    """Return the configuration of a node on its own disk in memory.

    All use of it is visible, and there is no sync to wait for.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    Kernel().mount("tmpfs", disk, "tmpfs", options="size=512m,mode=755")
    yield NodeConfig(state=disk, run=tmp_path / "run", disk_high=99)
    Kernel().unmount(disk, lazily=True)


def a_small_stack(config: NodeConfig, store: Store, tmp_path: Path) -> None:
    """Record a small stack in place of the real one of 129 MB, which is stored once for all
    deploys.
    """
    tree = tmp_path / "stack"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/debian_version").write_text("13\n")
    record(config, DEBIAN_13.name, identity_of(DEBIAN_13), store.add_layer(tree), {}, now=0.0)


def an_archive(path: Path, number: int) -> Path:
    """Write the app's code; half of it is new in each deploy."""
    with tarfile.open(path, "w") as tar:
        for name, data in {
            "Procfile": b"web: sh run.sh\n",
            "run.sh": b"true\n",
            "data": os.urandom(30_000) + bytes(30_000),
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def used(config: NodeConfig) -> tuple[int, int]:
    """Return the bytes and the files that are used on the whole disk."""
    disk = os.statvfs(config.state)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize, disk.f_files - disk.f_ffree


def test_deploy_500_uses_as_much_disk_as_deploy_20(config: NodeConfig, tmp_path: Path) -> None:
    store = Store(config)
    a_small_stack(config, store, tmp_path)
    builder, collector = (
        Builder(config, store, Containers(config)),
        GarbageCollector(config, store, grace=0),
    )
    images: list[str] = []
    then = (0, 0)
    for number in range(1, DEPLOYS + 1):
        archive = an_archive(tmp_path / "source.tar", number)
        request = BuildRequest(
            build_id=number,
            app="shop",
            team=1,
            archive=archive,
            filename="source.tar",
            limits=LIMITS,
        )
        images.append(builder.build(request, lambda _: None).digest)
        store.tag(f"shop:v{number}", images[-1])
        if number % 10 == 0:
            newest = range(number - KEPT + 1, number + 1)
            names = frozenset(
                f"shop:{kind}{version}" for version in newest for kind in ("v", "build-")
            )
            roots = Roots(images=frozenset(images[-KEPT:]), names=names)
            assert collector.collect(lambda: roots) is not None  # noqa: B023  # called at once
        if number == EARLY:
            then = used(config)
    now = used(config)
    assert len(set(images)) == DEPLOYS
    assert now[0] <= then[0], f"{now[0]} bytes after {DEPLOYS} deploys, {then[0]} after {EARLY}"
    assert now[1] <= then[1], f"{now[1]} files after {DEPLOYS} deploys, {then[1]} after {EARLY}"
    assert all(store.image(digest).layers for digest in images[-KEPT:])
    assert verify(config, store) == []
