"""Tests of the second run: `make test` runs failed tests again, alone.

A test that fails again fails the run; one that passes is listed as unstable.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

UNSTABLE = """
from pathlib import Path
def test_fails_the_first_time():
    flag = Path("flag")
    first = not flag.exists()
    flag.touch()
    assert not first
"""
FAULTY = "def test_fails_always(): assert not 'a fault'\n"


def test_a_test_that_passes_alone_is_listed_and_does_not_fail_the_run(tmp_path: Path) -> None:
    assert (run := _run(tmp_path, UNSTABLE)).returncode == 0
    assert (
        "Unstable: failed next to other tests and passed alone:\n "
        " test_it.py::test_fails_the_first_time" in run.stdout
    )


def test_a_test_that_fails_twice_fails_the_run(tmp_path: Path) -> None:
    assert (run := _run(tmp_path, UNSTABLE + FAULTY)).returncode == 1
    assert "Unstable" not in run.stdout


def test_many_failures_are_not_run_again(tmp_path: Path) -> None:
    run = _run(tmp_path, "\n".join(f"def test_{number}(): assert False" for number in range(6)))
    assert run.returncode == 1
    assert "again" not in run.stdout


def _run(folder: Path, tests: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(tests)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST", "DJANGO"))
    }
    command = [sys.executable, "-m", "tests", "test_it.py", "-p", "no:cacheprovider"]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
