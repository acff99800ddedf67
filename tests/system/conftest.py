"""Fixtures of the system tests: a platform, an admin and a browser."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from runtime.process import run
from tests import warm
from tests.system.support.archives import EXAMPLES
from tests.system.support.box import Box
from tests.system.support.footprint import footprint
from tests.system.support.person import Person

ORDER = (
    "test_examples",
    "test_confined",
    "test_push",
    "test_registry",
    "test_traffic",
    "test_soak",
    "test_killed",
    "test_chaos",
    "test_full_disk",
    "test_quotas",
    "test_bad_archives",
    "test_bad_apps",
    "test_attacks",
    "test_volumes",
    "test_down",
)
TEAM = "crew"
FIRST = os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0"  # the first lane or the only process

_until_the_end = ExitStack()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the examples first, since the others use them, and the removal of the platform last.

    Tests of other folders keep their places.
    """
    places = [place for place, item in enumerate(items) if "system" in item.path.parts]
    system_tests = sorted((items[place] for place in places), key=_order_of)
    for place, item in zip(places, system_tests, strict=True):
        items[place] = item


def _order_of(item: pytest.Item) -> float:
    """Return the place of a test's file.

    A file that is not listed comes before the last file, never between tests of one file.
    """
    return ORDER.index(item.path.stem) if item.path.stem in ORDER else len(ORDER) - 1.5


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the examples need while earlier tests run, once for all lanes."""
    wanted = (
        any("box" in getattr(item, "fixturenames", ()) for item in session.items)
        and not session.config.option.collectonly
    )
    if wanted and FIRST:
        _until_the_end.enter_context(warm.filling())


def pytest_sessionfinish() -> None:
    _until_the_end.close()


@pytest.fixture(scope="session")
def before() -> set[str]:
    """Return what the machine had before any test platform. The box requests it first."""
    warm.fill()  # build what is still missing
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
