"""A disk without space: what was there stays whole, nothing half stays behind, and all goes on when there is space again."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import journal
from runtime.kernel import Kernel
from runtime.logs import logfile

LINES = [logfile.line("2026-11-24T00:50:09.179Z", "web.1", "stdout", "x" * 100)] * 100


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    Kernel().mount("tmpfs", place, "tmpfs", options="size=64k")
    yield place
    Kernel().unmount(place)


def test_no_half_line_stays_in_a_log_and_none_comes_twice(disk: Path) -> None:
    log, written = disk / "app.log", 0
    with pytest.raises(OSError, match="No space") as caught:  # how many fit is the disk's affair
        while True:
            logfile.append(log, LINES, user="nobody-here")
            written += len(LINES)
    assert caught.value.errno == errno.ENOSPC
    assert log.read_text() == LINES[0] * written
    with pytest.raises(OSError, match="No space"):
        logfile.append(log, LINES, user="nobody-here")
    assert log.read_text() == LINES[0] * written


def test_a_journals_file_keeps_what_it_said_and_takes_the_next_once_there_is_space(disk: Path) -> None:
    journal.write_json(disk / "app.json", {"serving": 1})
    ballast = disk / "ballast"
    with pytest.raises(OSError, match="No space"), ballast.open("wb") as file:
        file.write(bytes(2**17))
    with pytest.raises(OSError, match="No space"):
        journal.write_json(disk / "app.json", {"serving": 2, "note": "x" * 10_000})
    assert journal.read_json(disk / "app.json") == {"serving": 1}
    ballast.unlink()
    journal.write_json(disk / "app.json", {"serving": 2})
    assert {path.name for path in disk.iterdir()} == {"app.json"}
