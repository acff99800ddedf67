"""`make down` takes along all that came with `make up`."""

import time

from tests.system.footprint import footprint

PATIENCE = 15  # seconds: network namespaces and cgroups go away a little after they are let go


def test_down_leaves_the_machine_as_it_was_before(before, box):
    assert footprint(box.name) - before, "the platform is up: there is something to leave behind"
    box.down()
    deadline = time.monotonic() + PATIENCE
    while (found := different(before, box)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not found, "\n".join(found)


def test_down_twice_is_no_error(box):
    box.down()


def different(before: set[str], box) -> list[str]:
    """What is there that was not, and what is gone; the box's own folder lies there until its end."""
    now = footprint(box.name)
    return sorted([*(f"left: {thing}" for thing in now - before), *(f"gone: {thing}" for thing in before - now)])
