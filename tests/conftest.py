"""For all tests: the run fails if a test left something of ours in the kernel or running."""

import time

import pytest

from tests import leaks

PATIENCE = 10  # seconds: network namespaces and cgroups go away a little after they are let go

_before: set[str] = set()
_left: list[str] = []


def pytest_sessionstart() -> None:
    _before.update(leaks.leftovers())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    deadline = time.monotonic() + (0 if leaks.another_run() else PATIENCE)
    while (left := leaks.leftovers() - _before) and time.monotonic() < deadline:
        time.sleep(0.2)
    _left.extend(sorted(left))
    if left and not leaks.another_run() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _left:
        terminalreporter.section("left behind", red=True, bold=True)
        for thing in _left:
            terminalreporter.write_line(thing)
        if leaks.another_run():
            terminalreporter.write_line("Another pytest runs on this machine, so this may be its own: the run is not failed for it.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pure tests first: a wrong table of values is told in seconds, before the first container."""
    order = ("architecture", "runtime", "workers", "portal", "system", "browser")
    items.sort(key=lambda item: next((place for place, area in enumerate(order) if f"/tests/{area}/" in str(item.path)), len(order)))
