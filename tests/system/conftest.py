"""One platform for all system tests, one admin, one browser."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from runtime.process import run
from tests import warm
from tests.system.archives import EXAMPLES
from tests.system.box import Box
from tests.system.footprint import footprint
from tests.system.person import Person

ORDER = (
    "test_examples",
    "test_push",
    "test_registry",
    "test_traffic",
    "test_soak",
    "test_killed",
    "test_quotas",
    "test_bad_archives",
    "test_bad_apps",
    "test_down",
)
TEAM = "crew"
FILLED_WITHIN = 1200  # seconds, of Debian's packages; a quarter of it, by itself

_until_the_end = ExitStack()
_filling: list[subprocess.Popen[bytes]] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The examples first, since the others use them; taking the platform down last. Other folders' tests keep their places."""
    places = [place for place, item in enumerate(items) if item.path.stem in ORDER and item.path.parent.name == "system"]
    ours = sorted((items[place] for place in places), key=lambda item: ORDER.index(item.path.stem))
    for place, item in zip(places, ours, strict=True):
        items[place] = item


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make what the examples stand on beside the tests that come before them."""
    if any("box" in getattr(item, "fixturenames", ()) for item in session.items) and not session.config.option.collectonly:
        _filling.append(_until_the_end.enter_context(warm.filling()))


def pytest_sessionfinish() -> None:
    _until_the_end.close()


@pytest.fixture(scope="session")
def before() -> set[str]:
    """What the machine had before any platform of ours; the box asks for it first."""
    for process in _filling:
        process.wait(FILLED_WITHIN)
    return footprint("slipway-tests-nothing-carries-this")


@pytest.fixture(scope="session")
def box(before) -> Iterator[Box]:
    run([EXAMPLES / "lock.sh", Path(sys.executable).with_name("uv")], timeout=120)
    box = Box()
    try:
        warm.seed(box.config)
        box.start()
        yield box
    finally:
        try:
            box.down()
        finally:
            box.forget()


@pytest.fixture(scope="session")
def admin(box) -> Person:
    username, password = box.admin()
    person = Person(box.url, username, password)
    person.create_team(TEAM)
    person.set_quota(TEAM)
    return person
