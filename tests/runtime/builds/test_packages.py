"""Tests of the package caches of teams: the eviction, the isolation of teams, and the layers that
are shared.
"""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.builds.packages.cache import KEPT, PackageCaches
from runtime.config import NodeConfig
from runtime.team_ids import first_id_of
from tests.runtime.builds.conftest import Forge

MIB = 2**20


@pytest.fixture
def caches(tmp_path: Path) -> PackageCaches:
    return PackageCaches(NodeConfig(state=tmp_path, package_cache=10 * MIB))


def put(folder: Path, name: str, size: int, used: float) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    os.utime(path, (used, used))
    for place in (path, *path.parents):  # a container of the first team wrote it
        if place == folder or not place.is_relative_to(folder):
            break
        os.chown(place, first_id_of(1), first_id_of(1))


def lend(caches: PackageCaches, team: int, tmp_path: Path) -> Path:
    with caches.lent(team, first_id_of(team), tmp_path, alone=False) as lent:
        return lent.folder


def test_the_least_recently_used_files_are_removed_first(
    caches: PackageCaches, tmp_path: Path
) -> None:
    folder = lend(caches, 1, tmp_path)
    put(folder, "uv/archive-v0/old/flask/a.py", 3 * MIB, 100)
    put(folder, "uv/archive-v0/used/django/a.py", 2 * MIB, 50)
    # One of its files was read lately, so all of them stay.
    put(folder, "uv/archive-v0/used/django/b.py", 1 * MIB, 900)
    put(folder, "npm/_cacache/content-v2/sha512/aa/bb/one", 3 * MIB, 200)
    put(folder, "npm/_cacache/content-v2/sha512/aa/cc/two", 3 * MIB, 800)
    freed = caches.cut(1)
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert freed >= 3 * MIB
    assert left == {
        "uv/archive-v0/used/django/a.py",
        "uv/archive-v0/used/django/b.py",
        "npm/_cacache/content-v2/sha512/aa/cc/two",
    } | ({"npm/_cacache/content-v2/sha512/aa/bb/one"} if freed < 6 * MIB else set())
    assert caches.cut(1) == 0


def test_nothing_is_removed_while_a_step_uses_the_cache(
    caches: PackageCaches, tmp_path: Path
) -> None:
    put(lend(caches, 1, tmp_path), "npm/large", 12 * MIB, 1)
    held, done = threading.Event(), threading.Event()

    def step() -> None:
        with caches.using(1):
            held.set()
            done.wait(20)

    thread = threading.Thread(target=step)
    thread.start()
    held.wait(20)
    try:
        assert caches.cut(1) == 0
        assert caches.collect(10 * KEPT, all_of_it=True) == 0
    finally:
        done.set()
        thread.join()
    assert caches.cut(1) >= 12 * MIB


def test_a_link_in_a_cache_leads_nowhere_outside_it(caches: PackageCaches, tmp_path: Path) -> None:
    folder, outside = lend(caches, 1, tmp_path), tmp_path / "outside"
    put(outside, "precious", 12 * MIB, 1)
    (folder / "npm").symlink_to(outside)
    put(folder, "uv/archive-v0/x/f", 12 * MIB, 1)
    (folder / "uv/archive-v0/x/out").symlink_to(outside)
    assert caches.cut(1) >= 12 * MIB
    assert caches.collect(10 * KEPT, all_of_it=True) == 1
    assert (outside / "precious").stat().st_size == 12 * MIB


def test_caches_that_are_unused_for_long_are_collected(
    caches: PackageCaches, tmp_path: Path
) -> None:
    old, young = lend(caches, 1, tmp_path), lend(caches, 2, tmp_path)
    mount = old.parents[1] / "mounts" / "1" / "abc"
    mount.mkdir(parents=True)
    foreign = old.parent / "notes.txt"
    foreign.touch()
    for path in (old, mount):
        os.utime(path, (0, 0))
    assert caches.collect(young.stat().st_mtime + 60) == 2
    assert (old.exists(), young.exists(), mount.exists(), foreign.exists()) == (
        False,
        True,
        False,
        True,
    )


def python_app(*packages: str) -> dict[str, str]:
    return {"requirements.txt": "".join(f"{package}\n" for package in packages), "app.py": ""}


def test_layers_are_shared_only_if_they_depend_on_declared_inputs(forge: Forge) -> None:
    first_team, second_team, third_team = 701, 702, 703
    folder = forge.config.cache / "packages"
    forge.build(python_app("itsdangerous==2.2.0"), team=first_team)
    assert "Dependencies: installed in" in forge.said()
    assert any((folder / str(first_team) / "uv").glob("archive-v*/*"))
    assert {path.stat().st_uid for path in (folder / str(first_team)).rglob("*")} == {
        first_id_of(first_team)
    }
    assert (folder / str(first_team)).stat().st_mode & 0o077 == 0

    # Made with an empty cache, so it depends on declared inputs only.
    forge.build(python_app("itsdangerous==2.2.0"), team=second_team)
    assert "Dependencies: cached, reused layer" in forge.said()
    assert not (folder / str(second_team)).exists()

    poison = next((folder / str(first_team) / "uv").glob("archive-v*/*/itsdangerous/__init__.py"))
    poison.write_text("POISONED = True\n")
    hostile = forge.build(
        python_app("itsdangerous==2.2.0", "# again"), team=first_team
    )  # another key, and a cache that the team's own build has poisoned
    assert any(
        "POISONED" in path.read_text()
        for layer in forge.store.image(hostile.digest).layers
        for path in _modules(layer)
    )
    innocent = forge.build(python_app("itsdangerous==2.2.0", "# again"), team=third_team)
    assert "Dependencies: installed in" in forge.said()
    assert not any(
        "POISONED" in path.read_text()
        for layer in forge.store.image(innocent.digest).layers
        for path in _modules(layer)
    )
    forge.build(python_app("itsdangerous==2.2.0", "# again"), team=first_team)
    assert "Dependencies: cached" in forge.said()


def _modules(layer: Path) -> list[Path]:
    return list(layer.glob("opt/venv/lib/python3*/site-packages/itsdangerous/__init__.py"))


def test_a_step_that_reads_the_whole_source_is_not_shared_between_teams(forge: Forge) -> None:
    files = {
        "package.json": '{"scripts":{"build":"mkdir -p out && cp page.txt out/","start":"x"}}',
        "page.txt": "the team's own",
    }
    forge.build(files, team=711)
    forge.build(files, team=711, app="second")
    assert "Build script: cached, reused layer" in forge.said()
    forge.build(files, team=712)
    assert "Build script: installed in" in forge.said()


def test_a_step_whose_cache_overflows_runs_again_without_it(forge: Forge) -> None:
    grow = (
        "if [ -d /build/cache ]; then dd if=/dev/zero of=/build/cache/junk bs=1M count=24"
        " 2>/dev/null; sleep 30; fi; touch made"
    )
    small = Forge(
        forge.config,
        forge.store,
        forge.containers,
        type(forge.builder)(_with_small_cache(forge), forge.store, forge.containers),
    )
    small.build(
        {"package.json": '{"scripts":{"build":"sh grow.sh","start":"x"}}', "grow.sh": grow},
        team=721,
    )
    assert "the package cache exceeded 16 MiB. The step runs again without it." in small.said()
    assert "Build script: installed in" in small.said()


def _with_small_cache(forge: Forge) -> NodeConfig:
    return replace(forge.config, package_cache=8 * MIB)
