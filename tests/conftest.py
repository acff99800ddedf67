"""Fixtures and hooks of all tests.

The run fails if a test left our objects in the kernel or our processes, or changed the host
(tests/fingerprint.py).
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import redis
from hypothesis import HealthCheck, settings

from runtime.confined.groups import in_use
from runtime.containers.cgroups.helper_groups import HelperGroups
from tests import fingerprint, leaks

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LONGEST_BYTES_IN_A_NAME = 16
# A time that somebody wrote has no seconds, or is of another day.
_TO_THE_SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:(?!00)\d\d")
QUIET_BROWSER = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The time of an example depends on the load of the machine. It is shared, and the guest of `make
# test-vm` is twenty times slower.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

LEFT_BEHIND = (
    16  # exit code of a run that left objects or changed the host; its tests are not run again
)
PATIENCE = 10  # seconds: network namespaces and cgroups disappear shortly after their removal

_before: set[str] = set()
_left: list[str] = []
_host: fingerprint.Fingerprint = {}
_changed: list[str] = []


def pytest_sessionstart(session: pytest.Session) -> None:
    if watches_the_host(session.config):
        _before.update(leaks.leftovers())
        _host.update(fingerprint.take())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if not watches_the_host(
        session.config
    ):  # the other lane may still run: the main process checks both
        return
    deadline = time.monotonic() + (0 if leaks.another_run() else PATIENCE)
    while (left := leaks.leftovers() - _before) and time.monotonic() < deadline:
        time.sleep(0.2)
    _left.extend(sorted(left))
    _changed.extend(
        fingerprint.differences(_host, fingerprint.take(), kernel_objects=not leaks.another_run())
    )
    if _changed or (left and not leaks.another_run()):
        session.exitstatus = LEFT_BEHIND


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _changed:
        terminalreporter.section("changed on this host (tests/fingerprint.py)", red=True, bold=True)
        for line in _changed:
            terminalreporter.write_line(line)
    if _left:
        terminalreporter.section("left behind", red=True, bold=True)
        for thing in _left:
            terminalreporter.write_line(thing)
        if leaks.another_run():
            terminalreporter.write_line(
                "Another pytest runs on this machine, so this may be its own: the run is not failed"
                " for it."
            )


def watches_the_host(config: pytest.Config) -> bool:
    """Return whether this process checks what the run left on the host. Without root a test can
    leave nothing there.
    """
    return not is_lane(config) and os.geteuid() == 0


def is_lane(config: pytest.Config) -> bool:
    """Return whether this process runs tests for another pytest process (pytest-xdist)."""
    return hasattr(config, "workerinput")


@pytest.fixture(autouse=True)
def _empty_helper_groups_are_removed() -> Iterator[None]:
    """Remove the helpers' empty cgroups after each test.

    An engine creates their parent, which only `make down` removes.
    """
    before = list(in_use)
    yield
    made = set(in_use) - set(before)  # by an engine of this test only: others are still in use
    in_use[:] = before
    for groups in made:
        assert isinstance(groups, HelperGroups)
        groups.remove_empty()


def _is_of_today(text: str) -> bool:
    """Return whether a text has a time to the second that is less than a day away."""
    found = _TO_THE_SECOND.search(text)
    try:
        moment = datetime.fromisoformat(f"{found[0]}+00:00") if found else None
    except ValueError:  # the 31st of February
        return False
    return moment is not None and abs(datetime.now(UTC) - moment) < timedelta(days=1)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name longer bytes by their length. Refuse a value that contains the present time.

    Compressed data contains the time, and two lanes must give a test the same name.
    """
    if isinstance(val, str) and _is_of_today(val):
        raise ValueError(f"{val!r} depends on the clock: compute it inside the test.")
    return (
        f"{argname}-of-{len(val)}-bytes"
        if isinstance(val, bytes) and len(val) > LONGEST_BYTES_IN_A_NAME
        else None
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put pure tests first.

    They report a wrong table of values in seconds, before the first container.
    """
    order = ("architecture", "runtime", "workers", "portal", "system", "browser")
    items.sort(
        key=lambda item: next(
            (place for place, area in enumerate(order) if f"/tests/{area}/" in str(item.path)),
            len(order),
        )
    )


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Keep the name of a lane's database, so that child processes find it.

    It is in its own folder already.
    """


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Yield the system's own browser; none is downloaded.

    Playwright keeps an event loop in this thread, so the browser lives only as long as a file needs
    it.
    """
    from playwright.sync_api import sync_playwright  # not imported where only the runtime is tested

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=QUIET_BROWSER
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """Yield the address of the run's only Redis, where the settings expect it.

    Existing connections stay open.
    """
    from django.conf import settings  # only after pytest-django has chosen them

    path = f"{settings.RUN}/redis.sock"
    command = (
        "redis-server",
        "--port",
        "0",
        "--unixsocket",
        path,
        "--save",
        "",
        "--appendonly",
        "no",
        "--logfile",
        "/dev/null",
    )
    server = subprocess.Popen(command, cwd=settings.RUN)
    deadline = time.monotonic() + 20
    while True:
        with suppress(redis.ConnectionError):
            redis.Redis(unix_socket_path=path).ping()
            break
        assert time.monotonic() < deadline, "Redis did not come up"
        time.sleep(0.05)
    yield path
    server.terminate()
    server.wait(10)


@pytest.fixture
def broker(redis_server: str) -> redis.Redis:
    """Return a client of an emptied Redis, to read the queues."""
    client = redis.Redis(unix_socket_path=redis_server, decode_responses=True)
    client.flushall()
    return client
