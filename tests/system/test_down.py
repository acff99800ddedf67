"""Tests that `make down` removes all that `make up` created."""

import time

from tests.system.support.footprint import footprint

PATIENCE = 15  # seconds: network namespaces and cgroups disappear shortly after their removal


def test_down_leaves_the_machine_as_it_was_before(before, box):
    assert footprint(box.name) - before, "the platform is up: it has objects"
    box.down()
    deadline = time.monotonic() + PATIENCE
    while (found := different(before, box)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not found, "\n".join(found)


def test_a_second_down_is_not_an_error(box):
    box.down()


def different(before: set[str], box) -> list[str]:
    """Return what was added and what was removed. The box's own folder stays until its end."""
    now = footprint(box.name)
    return sorted(
        [
            *(f"left: {thing}" for thing in now - before),
            *(f"gone: {thing}" for thing in before - now),
        ]
    )
