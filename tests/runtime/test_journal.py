"""Tests of files that are written completely or not at all, and of locks that end with their
process.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runtime import journal

WRITER = (
    "from pathlib import Path; from runtime import journal; import sys, itertools\nprint('go',"
    " flush=True)\n"
)
WRITER += (
    "for n in itertools.count(): journal.write_json(Path(sys.argv[1]), [n] * 20000, durable=n % 2"
    " == 0)"
)
HOLDER = "from pathlib import Path; from runtime import journal; import sys, time\n"
HOLDER += "with journal.lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


@pytest.mark.parametrize("durable", [True, False])
def test_written_data_can_be_read_and_no_other_file_remains(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a.json"
    assert journal.read_json(path) is None
    for value in ({"b": [1, 2], "ä": None}, "second"):
        journal.write_json(path, value, durable=durable)
        assert journal.read_json(path) == value
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        journal.write_atomic(tmp_path / "a", b"x", 0o644)
        journal.write_atomic(tmp_path / "b", b"x")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o644, 0o600]


def test_a_failed_write_leaves_the_old_file_unchanged(tmp_path: Path) -> None:
    journal.write_json(tmp_path / "a", 1)
    with pytest.raises(TypeError):
        journal.write_json(tmp_path / "a", object())
    (tmp_path / "folder" / "in").mkdir(parents=True)
    with pytest.raises(OSError, match="irectory"):
        journal.write_atomic(tmp_path / "folder", b"x")
    assert journal.read_json(tmp_path / "a") == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "folder"]


def test_a_writer_that_is_killed_leaves_no_partial_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for moment in (0.0, 0.01, 0.03, 0.06):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"go\n"
            time.sleep(moment)
            writer.send_signal(signal.SIGKILL)
        value = journal.read_json(path)
        assert value is None or len(value) == 20000


def test_a_lock_excludes_processes_and_threads_and_can_be_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a"
    with journal.lock(path) as held:
        assert held
        with journal.lock(path, blocking=False) as second:
            assert not second
        start = time.monotonic()
        with journal.lock(path, timeout=0.1) as third:
            assert not third
        assert time.monotonic() - start >= 0.1
        waiting = threading.Thread(target=lambda: journal.lock(path).__enter__())
        waiting.start()
    waiting.join(5)
    assert not waiting.is_alive()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with journal.lock(path, blocking=False) as held:
            assert not held
        holder.send_signal(signal.SIGKILL)
    with journal.lock(path, timeout=2) as held:
        assert held


def test_free_locks_are_removed_and_held_locks_stay(tmp_path: Path) -> None:
    for name in ("build-1", "build-2", "images"):
        with journal.lock(tmp_path / name):
            pass
    with journal.lock(tmp_path / "build-2"):
        assert journal.remove_free_locks(tmp_path, re.compile("build-.+")) == 1
        assert sorted(path.name for path in tmp_path.iterdir()) == ["build-2", "images"]


def test_a_lock_whose_file_is_removed_repeatedly_has_one_holder(tmp_path: Path) -> None:
    path, inside, most, over = tmp_path / "build-1", 0, 0, threading.Event()

    def hold() -> None:
        nonlocal inside, most
        for _ in range(200):
            with journal.lock(path):
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    def remove() -> None:
        while not over.is_set():
            journal.remove_free_locks(tmp_path, re.compile("build-.+"))

    holders, remover = (
        [threading.Thread(target=hold) for _ in range(4)],
        threading.Thread(target=remove),
    )
    for thread in (*holders, remover):
        thread.start()
    for thread in holders:
        thread.join()
    over.set()
    remover.join()
    assert most == 1
