"""Tests of redeploys, rollbacks and scaling under load: no request fails."""

import pytest

from tests.system.conftest import TEAM
from tests.system.support import archives
from tests.system.support.load import Load
from tests.system.support.waiting import until

APP = "busy"
DEPLOYS = 5


def version(number: int) -> bytes:
    return archives.example(
        "hello",
        {
            "hello.py": (
                (archives.EXAMPLES / "hello" / "hello.py")
                .read_text()
                .replace("<h1>", f"<h1>version {number} ")
            )
        },
    )


@pytest.fixture(scope="module")
def busy(box, admin) -> str:
    admin.create_app(TEAM, APP)
    admin.deployed(APP, version(1))
    return APP


@pytest.mark.slow
def test_redeploys_under_load_lose_no_request(busy, box, admin):
    with Load(box.port, box.host(busy)) as load:
        for number in range(2, 2 + DEPLOYS):
            admin.deployed(busy, version(number))
            until(
                lambda number=number: f"version {number}" in box.ask(busy).text,
                within=5,
                what=f"version {number} is served",
            )
    assert load.tally.requests > 100
    assert load.tally.failed == 0, load.tally.how


def test_a_rollback_under_load_loses_no_request(busy, box, admin):
    with Load(box.port, box.host(busy)) as load:
        admin.roll_back(busy, 1)
        until(
            lambda: "version 1" in box.ask(busy).text, within=60, what="version 1 is served again"
        )
        until(
            lambda: admin.get(f"/apps/{busy}/rollouts")[0]["state"] == "live",
            within=60,
            what="the rollback is live",
        )
    assert load.tally.requests > 100
    assert load.tally.failed == 0, load.tally.how


def test_scaling_and_restarting_under_load_lose_no_request(busy, box, admin):
    with Load(box.port, box.host(busy)) as load:
        for count in (3, 1):
            admin.scale(busy, count)
            until(
                lambda count=count: live(admin, busy) == count,
                within=60,
                what=f"{count} instances are live",
            )
        before = {instance["id"] for instance in admin.instances(busy)}
        admin.restart(busy)
        until(
            lambda: live(admin, busy) == 1 and not before & running(admin, busy),
            within=60,
            what="a fresh instance took over",
        )
    assert load.tally.failed == 0, load.tally.how


def live(admin, app: str) -> int:
    return sum(instance["state"] == "live" for instance in admin.instances(app))


def running(admin, app: str) -> set[str]:
    return {
        instance["id"]
        for instance in admin.instances(app)
        if instance["state"] in {"live", "starting", "draining"}
    }
