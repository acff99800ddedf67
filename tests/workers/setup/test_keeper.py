"""Tests of supervisord as `make up` starts it, with its logs on a disk that fills.

It keeps its processes, and writes again when there is space.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.kernel import Kernel

ROOT = Path(__file__).parents[3]
TALKS = (
    "import os, time; print(os.getpid(), flush=True)\nwhile True: print('word ' * 20, flush=True);"
    " time.sleep(0.005)"
)


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Path]:
    """Yield the folder of a disk of 256 KiB."""
    place = tmp_path / "logs"
    place.mkdir()
    Kernel().mount("tmpfs", place, "tmpfs", options="size=256k")
    yield place
    Kernel().unmount(place)


@pytest.fixture
def keeper(tmp_path: Path, logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "talks.py").write_text(TALKS)
    (tmp_path / "keeper.conf").write_text(
        f"[supervisord]\nnodaemon=true\nsilent=true\nuser=root\nlogfile={logs}/keeper.log\nlogfile_maxbytes=64KB\npidfile={tmp_path}/pid\n"
        f"[program:talker]\ncommand={sys.executable}"
        f" {tmp_path}/talks.py\nstdout_logfile={logs}/talker.log\n"
        "stdout_logfile_maxbytes=64KB\nredirect_stderr=true\nstdout_logfile_backups=1\nstartsecs=0\nstartretries=1000\n"
    )
    with (logs / "keeper.out").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "workers.setup.keeper", "-c", tmp_path / "keeper.conf"],
            cwd=ROOT,
            stdout=out,
            stderr=out,
        )
    yield process
    process.terminate()
    process.wait(20)


def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def talker(keeper: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children").read_text().split()
    return int(children[0]) if children else 0


def test_a_full_disk_ends_neither_supervisord_nor_its_processes(
    keeper: subprocess.Popen[bytes], logs: Path
) -> None:
    until(lambda: (logs / "talker.log").exists() and (logs / "talker.log").stat().st_size > 1000)
    ballast = logs / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    first = talker(keeper)
    time.sleep(2)  # time for some hundred lines, which would be two rotations
    assert keeper.poll() is None
    assert talker(keeper) == first, "its output is still read"
    os.kill(first, signal.SIGKILL)
    until(lambda: talker(keeper) not in (0, first))
    second = talker(keeper)
    ballast.unlink()
    until(
        lambda: (
            (logs / "talker.log").exists() and "word" in (logs / "talker.log").read_text()[-200:]
        )
    )
    size = (logs / "talker.log").stat().st_size
    until(lambda: (logs / "talker.log").stat().st_size != size)
    assert keeper.poll() is None
    assert talker(keeper) == second
