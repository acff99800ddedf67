"""The program of `make test`: run all tests in two lanes, and run failed tests again, alone.

Machines are shared, so a test may miss its time limit because of other work. A test that passes
alone is listed as unstable and does not fail the run. A test that fails twice does, and so does a
leftover or a changed host.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

MOST_RUN_AGAIN = 5  # more failures than this are not by chance


class Failures:
    """Pytest plugin that collects the node ids of the failed tests."""

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.ids[report.nodeid] = None


def main(arguments: list[str]) -> int:
    """Return pytest's exit code: that of the second run if there was one."""
    failures = Failures()
    outcome = pytest.main(["-p", "tests.lanes", "-n", "2", *arguments], plugins=[failures])
    if outcome != pytest.ExitCode.TESTS_FAILED or not 0 < len(failures.ids) <= MOST_RUN_AGAIN:
        return int(outcome)
    print(
        f"\nRunning {len(failures.ids)} failed test(s) again, alone:",
        *failures.ids,
        sep="\n  ",
        flush=True,
    )
    code = subprocess.call([sys.executable, "-m", "pytest", *failures.ids])
    if code == pytest.ExitCode.OK:
        print(
            "\nUnstable: failed next to other tests and passed alone:",
            *failures.ids,
            sep="\n  ",
            flush=True,
        )
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
