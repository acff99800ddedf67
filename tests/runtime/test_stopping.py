"""Tests of cancellation while the runtime unpacks, packs or copies files, waits for a lock, or runs
a program.
"""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import cancellation, journal, process
from runtime.builds.budget import Budget
from runtime.builds.layer_cache import StepCache
from runtime.builds.source.archive import unpack
from runtime.config import NodeConfig
from runtime.errors import Cancelled
from runtime.images.layers.sanitizing import remove_privileges
from runtime.images.store import Store
from runtime.stacks.builder import ensure_stack
from runtime.stacks.definition import DEBIAN_13
from runtime.stacks.versions import identity_of
from runtime.trees.folder import Folder


def after(questions: int) -> Callable[[], bool]:
    """Return a function that reports a cancellation after this many calls."""
    asked = [0]

    def cancelled() -> bool:
        asked[0] += 1
        return asked[0] > questions

    return cancelled


def after_seconds(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until


def folder_of(files: int, place: Path) -> Path:
    place.mkdir()
    for number in range(files):
        (place / f"{number}").write_text(f"{number}")
    return place


def test_cancellation_stops_the_unpacking_of_an_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "source.tar", "w") as tar:
        for number in range(500):
            info = tarfile.TarInfo(f"folder/{number}")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    with cancellation.when(after(100)), pytest.raises(Cancelled):
        (tmp_path / "tree").mkdir()
        with (
            (tmp_path / "source.tar").open("rb") as archive,
            Folder.at(tmp_path / "tree") as target,
        ):
            unpack(archive, "source.tar", target)
    assert 10 < len(list((tmp_path / "tree/folder").iterdir())) < 110


def test_cancellation_stops_the_packing_of_a_layer_and_leaves_no_part(tmp_path: Path) -> None:
    config = NodeConfig(state=tmp_path / "state", run=tmp_path / "run")
    store = Store(config)
    with cancellation.when(after(1)), pytest.raises(Cancelled):
        store.add_layer(folder_of(3000, tmp_path / "tree"), move=True)
    left = [path for folder in (config.images, config.layers) for path in folder.glob("ingest/*")]
    assert left == []
    assert list((config.images / "blobs/sha256").iterdir()) == []


def test_cancellation_stops_the_unpacking_of_a_layer(tmp_path: Path) -> None:
    config = NodeConfig(state=tmp_path / "state", run=tmp_path / "run")
    store = Store(config)
    layer = store.add_layer(folder_of(3000, tmp_path / "tree"))
    (config.layers / layer.diff_id.hex).rename(tmp_path / "away")
    with cancellation.when(after(1)), pytest.raises(Cancelled):
        store.unpacked(layer)
    assert not (config.layers / layer.diff_id.hex).exists()
    assert store.unpacked(layer).is_dir()


def test_cancellation_stops_the_sanitizing_of_a_step(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}").mkdir()
    with cancellation.when(after(10)), pytest.raises(Cancelled), Folder.at(tmp_path) as top:
        remove_privileges(top, most=1 << 20)


def test_cancellation_stops_waiting_for_a_step_or_stack(tmp_path: Path) -> None:
    config = NodeConfig(state=tmp_path / "state", run=tmp_path / "run")
    store = Store(config)
    step, stack = "0" * 64, identity_of(DEBIAN_13)
    with (
        journal.lock(config.locks / f"step-{step[:16]}"),
        journal.lock(config.locks / f"stack-{stack[:16]}"),
    ):
        turn = StepCache(config, store).key_lock(
            step, Budget(600, print, cancelled=after_seconds(0.3))
        )
        with pytest.raises(Cancelled), turn:
            pytest.fail("another holds it")
        with cancellation.when(after_seconds(0.3)), pytest.raises(Cancelled):
            ensure_stack(config, store)


def test_cancellation_ends_a_program_and_its_children(tmp_path: Path) -> None:
    command = ["sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; wait"]
    with (
        cancellation.when(
            lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text())
        ),
        pytest.raises(Cancelled),
    ):
        process.run(command, timeout=600, stoppable=True)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 20
    while (
        Path(f"/proc/{pid}").exists()
        and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_cleanup_and_other_threads_are_not_cancelled() -> None:
    with cancellation.when(lambda: True):
        assert process.run(["echo", "tidy"]).stdout == b"tidy\n"
        elsewhere: list[str] = []
        thread = threading.Thread(
            target=lambda: (cancellation.check(), elsewhere.append("went on"))
        )
        thread.start()
        thread.join()
        assert elsewhere == ["went on"]
    cancellation.check()
