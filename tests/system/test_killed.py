"""Tests of kill -9 of each process of the platform.

Apps continue to run, and the platform starts again by itself.
"""

import time

import httpx
import pytest

from tests.system.conftest import TEAM
from tests.system.support import archives
from tests.system.support.box import PARTS
from tests.system.support.load import Load
from tests.system.support.waiting import until

APP = "steady"


@pytest.fixture(scope="module")
def steady(box, admin) -> str:
    admin.create_app(TEAM, APP)
    admin.deployed(APP, archives.example("hello"))
    return APP


@pytest.mark.parametrize("part", [part for part in PARTS if part != "router"])
def test_a_killed_part_is_restarted_and_no_request_fails(steady, box, admin, part):
    instances = box.instance_pids()
    with Load(box.port, box.host(steady)) as load:
        killed = box.kill(part)
        until(
            lambda: (now := box.pids(part)) and not set(now) & set(killed),
            within=30,
            what=f"the {part} is started again",
        )
        until(lambda: portal_answers(box), within=30, what="the portal answers")
    assert load.tally.requests > 50
    assert load.tally.failed == 0, load.tally.how
    assert box.instance_pids().items() >= instances.items(), "apps still run in the same processes"


def test_a_killed_router_is_back_in_seconds_with_every_route(steady, box):
    instances = box.instance_pids()
    killed = box.kill("router")
    begun = time.monotonic()
    until(lambda: answers(box, steady), within=10, what="the app answers again")
    assert not set(box.pids("router")) & set(killed)
    assert time.monotonic() - begun < 5
    assert box.instance_pids().items() >= instances.items()


def test_all_parts_killed_at_once_are_restarted_and_accept_deploys(steady, box, admin):
    instances = box.instance_pids()
    for part in PARTS:
        box.kill(part)
    until(
        lambda: answers(box, steady) and portal_answers(box), within=60, what="the platform is back"
    )
    assert box.instance_pids().items() >= instances.items()
    admin.deployed(
        steady,
        archives.example("hello", {"hello.py": hello().replace("<h1>", "<h1>after the fall ")}),
    )
    until(
        lambda: "after the fall" in box.ask(steady).text,
        within=10,
        what="the new release is served",
    )


@pytest.mark.slow
def test_a_build_whose_worker_is_killed_is_started_again(steady, box, admin):
    admin.create_app(TEAM, "interrupted")
    number = admin.deploy("interrupted", archives.app(slow_to_install()))
    until(
        lambda: admin.build("interrupted", number)["state"] == "building",
        within=30,
        what="the build has begun",
    )
    box.kill("build worker")
    over = admin.built("interrupted", number, within=180)
    assert over["state"] == "succeeded", (
        f"{over['reason']}\n{admin.build_log('interrupted', number)}"
    )
    assert "The build starts again" in admin.build_log("interrupted", number)
    assert admin.settled("interrupted", 1)["state"] == "live"


def test_the_platform_stopped_and_started_finds_its_apps_running(steady, box):
    instances = box.instance_pids()
    box.stop()
    assert box.instance_pids().items() >= instances.items(), "Ctrl-C leaves apps running"
    box.start()
    until(lambda: answers(box, steady), within=30, what="the app answers")
    assert box.instance_pids().items() >= instances.items(), (
        "the platform found them and did not start them again"
    )


def slow_to_install() -> dict[str, str]:
    """Return a source with other packages than those of the examples.

    Then no layer of an earlier build fits.
    """
    return {
        "requirements.txt": "fastapi\nuvicorn\njinja2\nhttpx\npygments\n",
        "hello.py": hello(),
        "Procfile": "web: python3 hello.py\n",
    }


def hello() -> str:
    return (archives.EXAMPLES / "hello" / "hello.py").read_text()


def answers(box, app: str) -> bool:
    try:
        return box.ask(app).status_code == 200
    except httpx.TransportError:
        return False


def portal_answers(box) -> bool:
    try:
        return httpx.get(f"{box.url}/sign-in", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
