"""Tests of build logs: size limit, masking and access."""

import os
import pwd
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from runtime.masking import Mask
from workers.tasks.build_log import BuildLog


def test_a_build_that_prints_without_end_does_not_fill_the_disk(tmp_path: Path) -> None:
    log = BuildLog(tmp_path / "1.log", user="nobody-here", most=10_000)
    for _ in range(10_000):
        log.output("y\rn")
    log.say("The build failed.")
    lines = (tmp_path / "1.log").read_text().splitlines()
    assert (tmp_path / "1.log").stat().st_size < 11_000
    first = next(
        place
        for place, line in enumerate(lines)
        if line.endswith("the rest of its output is left out.")
    )
    assert [line.split(" ", 3)[3] for line in lines[first + 1 :]] == [
        (
            f"{10_000 - first // 2} lines of output were dropped here, because a build's log keeps"
            " 0 MiB of output."
        ),
        "The build failed.",
    ]


def test_a_log_is_opened_once_and_each_line_is_written_at_once(tmp_path: Path) -> None:
    path, moved = tmp_path / "logs" / "1.log", tmp_path / "moved.log"
    with BuildLog(path, user="nobody-here") as log:
        log.output("first")
        path.rename(moved)  # a writer that opens the file again does not find it
        for number in range(100):
            log.output(f"line {number}")
            assert moved.read_text().endswith(f" line {number}\n")
        assert not path.exists()
        assert open_files().count(moved) == 1
    assert moved not in open_files()


def test_secret_values_are_masked_as_a_whole_and_line_by_line(tmp_path: Path) -> None:
    mask = Mask(
        [
            "s3cr3t-value",
            "s3cr3t-value-and-more",
            "-----BEGIN-----\nMIIEabcdefgh\n-----END-----",
            "true",
            "a.c+d(e)f",
        ]
    )
    log = BuildLog(tmp_path / "1.log", user="nobody-here", mask=mask)
    log.output("token=s3cr3t-value-and-more; s3cr3t-value, true")
    log.output("it printed MIIEabcdefgh\nand a.c+d(e)f")
    log.say("failed with s3cr3t-value")
    words = [line.split(" ", 3)[3] for line in (tmp_path / "1.log").read_text().splitlines()]
    assert words == ["token=****; ****, true", "it printed ****", "and ****", "failed with ****"]


def open_files() -> list[Path]:
    """Return the files that this process has open."""
    return [
        Path(entry.path).readlink()
        for entry in os.scandir("/proc/self/fd")
        if os.path.lexists(entry.path)
    ]


READER = """
import os, sys
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(65534)
for number in range(200):
    while True:
        try:
            open(f"{sys.argv[2]}/{number}.log").close()
            break
        except FileNotFoundError:
            continue
print("all read")
"""


def test_a_client_that_waits_for_a_log_may_read_it_at_once() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        reader = [sys.executable, "-c", READER, str(pwd.getpwnam("nobody").pw_gid), place]
        with subprocess.Popen(
            reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as waiting:
            time.sleep(0.3)
            for number in range(200):
                BuildLog(folder / f"{number}.log", user="nobody").say("It begins.")
                time.sleep(0.001)
            output, errors = waiting.communicate(timeout=30)
        assert output == "all read\n", errors
        assert len(list(folder.iterdir())) == 200
