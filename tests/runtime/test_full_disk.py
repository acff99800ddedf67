"""Tests of a full disk: existing data stays complete, no partial data remains, and work continues
when there is space again.
"""

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
    """Mount a disk of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    Kernel().mount("tmpfs", place, "tmpfs", options="size=64k")
    yield place
    Kernel().unmount(place)


def test_a_log_on_a_full_disk_has_no_partial_and_no_repeated_line(disk: Path) -> None:
    log, written = disk / "app.log", 0
    # The number of lines that fit depends on the disk.
    with pytest.raises(OSError, match="No space") as caught:
        while True:
            logfile.append(log, LINES, user="nobody-here")
            written += len(LINES)
    assert caught.value.errno == errno.ENOSPC
    assert log.read_text() == LINES[0] * written
    with pytest.raises(OSError, match="No space"):
        logfile.append(log, LINES, user="nobody-here")
    assert log.read_text() == LINES[0] * written


def test_a_journal_file_survives_a_full_disk_and_accepts_the_next_write(disk: Path) -> None:
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
