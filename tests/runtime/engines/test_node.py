"""Tests of a real node from the first deploy to the last removal, with real containers, network and
HAProxy.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from runtime.containers.container import Status
from runtime.containers.spec import TeamLimits
from runtime.contract.quantities import Bytes, Millicores
from runtime.converge.observed import Phase
from runtime.converge.planning.plan import OutcomeState
from runtime.errors import LaunchFailed
from runtime.router.routes import AppRoutes, AppSituation, Canary, Endpoint, PathRoute
from tests.runtime.engines.conftest import SMALL, release


def test_a_first_deploy_answers_on_its_host_name(station, app):
    assert "Nothing" in station.get(app.app).text or station.get(app.app).status_code == 404
    began = time.monotonic()
    app, look = station.roll_out(app, release(1))
    assert look.plan.outcome.state is OutcomeState.LIVE
    answer = station.get(app.app)
    assert answer.status_code == 200
    assert answer.text.startswith("v1 ")
    assert time.monotonic() - began < 20
    assert "stdout hello from v1" in station.log(app.app)


def test_a_redeploy_a_rollback_and_a_restart_lose_no_request(station, app):
    app, _ = station.roll_out(app, release(1, count=2))
    failures, stop, seen = [], threading.Event(), set()

    def visit():
        while not stop.is_set():
            answer = station.get(app.app)
            if answer.status_code != 200:
                failures.append(answer.text)
            seen.add(answer.text.split()[0])

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        for number in (2, 3):
            app, look = station.roll_out(app, release(number, count=2))
            assert look.plan.outcome.state is OutcomeState.LIVE
        before = station.ids(app.app)
        app = replace(app, current=replace(app.current, generation=1))
        station.settle(app)
        assert not set(before) & set(station.ids(app.app))
    finally:
        stop.set()
        visitor.join()
    assert failures == []
    assert seen == {"v1", "v2", "v3"}
    assert len(station.ids(app.app)) == 2


def test_a_running_request_is_finished_by_the_old_release(station, app):
    app, _ = station.roll_out(app, release(1))
    answers = []
    visitor = threading.Thread(target=lambda: answers.append(station.get(app.app, "/linger").text))
    visitor.start()
    time.sleep(0.3)
    app, _ = station.roll_out(app, release(2))
    visitor.join()
    assert answers[0].startswith("v1 ")
    assert station.get(app.app).text.startswith("v2 ")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("exit", ("exited at once with code 1", "cannot find the moon")),
        ("eat", ("It used all of its 96 MiB of memory", "Give it more memory")),
        (
            "loopback",
            ("listens on 127.0.0.1:5000", "it must listen on 0.0.0.0 and the port in $PORT (8000)"),
        ),
        ("elsewhere", ("listens on 0.0.0.0:5000", "the port in $PORT (8000)")),
        ("silent", ("does not listen on a port", "worker")),
        ("broken", ("with status 500", "below 500")),
    ],
)
def test_a_failing_candidate_keeps_the_old_release_and_reports_the_cause(
    station, app, mode, expected
):
    app, _ = station.roll_out(app, release(1))
    old = station.ids(app.app)
    app, look = station.roll_out(app, release(2, mode, boot_seconds=2.0 if mode != "eat" else 20.0))
    assert look.plan.outcome.state is OutcomeState.FAILED
    assert all(words in look.plan.outcome.reason for words in expected), look.plan.outcome.reason
    assert "hello from v2" in look.plan.outcome.reason
    assert station.get(app.app).text.startswith("v1 ")
    assert station.ids(app.app) == old
    assert "hello from v2" in station.log(app.app)


def test_a_command_that_does_not_exist_is_reported(station, app):
    wrong = release(1)
    wrong = replace(wrong, processes=(replace(wrong.processes[0], command="gunicron app:app"),))
    _, look = station.roll_out(app, wrong)
    assert "its command was not found" in look.plan.outcome.reason
    assert station.ids(app.app) == []


def test_a_crashed_instance_is_replaced_while_the_others_serve(station, app):
    app, _ = station.roll_out(app, release(1, count=2))
    before = set(station.ids(app.app))
    station.die(app.app)
    deadline = time.monotonic() + 5
    while not (
        ended := [
            container
            for container in station.engine.instances()
            if container.spec.app == app.app and container.status is not Status.RUNNING
        ]
    ):
        assert time.monotonic() < deadline
    (victim,) = ended
    assert station.engine.remove_endpoint(app.app, victim.id)
    assert all(station.get(app.app).status_code == 200 for _ in range(5))
    station.settle(app)
    now = set(station.ids(app.app))
    assert len(now) == 2
    assert len(now & before) == 1
    assert "exited" in station.log(app.app)
    assert "code 7" in station.log(app.app)


def test_taking_out_the_last_canary_or_stable_instance_keeps_valid_routes(station):
    def route(*ends, canary):
        station.engine.router.set(
            AppRoutes(app="solo", hosts=("solo.test",), endpoints=ends, canary=canary)
        )

    old, new = (Endpoint(instance=name, address="127.0.0.1", port=1) for name in ("old", "new"))
    api = replace(old, instance="api", process="api")
    route(old, replace(new, canary=True), canary=Canary(percent=10))
    assert station.engine.remove_endpoint("solo", "new")
    now = station.engine.router.route("solo")
    assert (now.canary, now.situation, [end.instance for end in now.endpoints]) == (
        None,
        AppSituation.SERVING,
        ["old"],
    )
    route(old, api, replace(new, canary=True), canary=Canary(percent=10))
    assert station.engine.remove_endpoint("solo", "old")
    assert station.engine.router.route("solo").situation is AppSituation.HOLDING, (
        "neither the canary nor the api may receive all requests"
    )
    station.engine.router.remove("solo")


def test_taking_out_the_last_instance_of_a_path_holds_only_that_path(station):
    web = Endpoint(instance="web", address="127.0.0.1", port=1)
    ends = (web, *(replace(web, instance=name, process="api") for name in ("api-1", "api-2")))
    station.engine.router.set(
        AppRoutes(
            app="solo",
            hosts=("solo.test",),
            endpoints=ends,
            paths=(PathRoute(prefix="/api", process="api"),),
        )
    )

    def situations():
        now = station.engine.router.route("solo")
        return now.situation, now.paths[0].situation

    assert station.engine.remove_endpoint("solo", "api-1")
    assert situations() == (AppSituation.SERVING, AppSituation.SERVING)
    assert station.engine.remove_endpoint("solo", "api-2")
    assert situations() == (AppSituation.SERVING, AppSituation.HOLDING)
    station.engine.router.remove("solo")


def test_a_fresh_engine_takes_over_running_instances_without_a_restart(station, app):
    app, _ = station.roll_out(app, release(1, count=2, workers="sleep 1000"))
    left = [
        folder / ".7.log.4242-1" for folder in (station.config.app_logs, station.config.build_logs)
    ]
    for file in left:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        os.utime(file, (1, 1))
    before = {
        container.id: container.pid
        for container in station.engine.instances()
        if container.spec.app == app.app
    }
    station.engine = station.fresh_engine()
    assert len([line for line in station.engine.prepare() if "7.log" in line]) == 2
    assert not any(file.exists() for file in left)
    look = station.step(app)
    assert look.plan.settled
    assert {
        container.id: container.pid
        for container in station.engine.instances()
        if container.spec.app == app.app
    } == before
    assert len(before) == 3


def test_scaling_and_new_limits_change_no_other_instance(station, app):
    app, _ = station.roll_out(app, release(1))
    first = station.ids(app.app)

    def scaled(count, limits):
        return replace(
            app,
            current=replace(
                app.current,
                processes=(replace(app.current.processes[0], count=count, limits=limits),),
            ),
        )

    station.settle(scaled(3, SMALL))
    assert set(first) < set(station.ids(app.app))
    assert len(station.ids(app.app)) == 3
    bigger = replace(SMALL, memory=Bytes(128 * 2**20), cpu=Millicores(500))
    three = station.ids(app.app)
    station.settle(scaled(3, bigger))
    assert station.ids(app.app) == three
    assert {
        container.spec.limits
        for container in station.engine.instances()
        if container.spec.app == app.app
    } == {bigger}
    station.engine.set_team_limits(
        1, TeamLimits(cpu=Millicores(2000), memory=Bytes(2**30), processes=512), SMALL
    )
    assert {
        container.spec.limits.memory
        for container in station.engine.instances()
        if container.spec.app == app.app
    } == {SMALL.memory}
    station.settle(scaled(0, SMALL))
    assert station.ids(app.app) == []
    assert station.get(app.app).status_code == 503


def test_the_environment_is_image_then_config_then_platform(station, app):
    shown = release(1, environment={"GREETING": "good day", "PORT": "1"}, workers="env; sleep 1000")
    app, _ = station.roll_out(app, shown)
    text = station.log(app.app)
    for line in (
        "GREETING=good day",
        "PORT=8000",
        "SLIPWAY_PROCESS=worker",
        "SLIPWAY_RELEASE=v1",
        f"SLIPWAY_APP={app.app}",
        "HOME=/tmp",
    ):
        assert f" stdout {line}\n" in text


def test_the_release_phase_runs_once_with_its_output_in_the_log(station, app):
    first_release = release(1, environment={"WORD": "migrate", "KEY": "long and secret"})
    run = {"limits": SMALL, "timeout": 20.0, "cancelled": lambda: False}
    station.engine.release_phases.run(
        app, first_release, 'echo "$WORD everything with $KEY"', **run
    )
    assert " stdout migrate everything with ****\n" in station.log(app.app)
    with pytest.raises(LaunchFailed, match=r"(?s)failed. It exited with code 4.*no such table"):
        station.engine.release_phases.run(
            app, first_release, "echo no such table >&2; exit 4", **run
        )
    with pytest.raises(LaunchFailed):
        station.engine.release_phases.run(app, first_release, "sleep 60", **{**run, "timeout": 0.5})
    assert [each for each in station.engine.containers.list() if each.spec.app == app.app] == []


CONVERGE = """
import sys, time, pickle
from runtime.engines.node import NodeEngine
config, images, desired = pickle.loads(bytes.fromhex(sys.argv[1]))
engine = NodeEngine(config, images=images)
print("go", flush=True)
while True:
    with engine.holding(desired.app, timeout=10):
        engine.act(desired, engine.look(desired))
    time.sleep(0.01)
"""


@pytest.mark.slow
def test_kill_9_of_the_reconciler_leaves_nothing_behind_or_undone(station, app):
    import pickle

    app, _ = station.roll_out(app, release(1, count=2))
    for number, after in enumerate((0.0, 0.05, 0.1, 0.17, 0.25, 0.35, 0.5, 0.7), start=2):
        wanted = replace(app, candidate=release(number, count=2))
        argument = pickle.dumps((station.config, station.images, wanted)).hex()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([".", "platform"])}
        child = subprocess.Popen(
            [sys.executable, "-c", CONVERGE, argument], stdout=subprocess.PIPE, env=environment
        )
        child.stdout.readline()
        time.sleep(after)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert station.get(app.app).status_code == 200
        look = station.settle(wanted)
        assert look.plan.outcome.state is OutcomeState.LIVE, look
        app = replace(app, current=wanted.candidate)
        final = station.settle(app)
        assert len(station.ids(app.app)) == 2
        assert all(
            instance.phase is Phase.RUNNING and instance.slot.group.release == number
            for instance in final.observed.instances
        )
        assert station.get(app.app).text.startswith(f"v{number} ")
    folders = {path.name for path in station.config.instances.glob(f"{app.app}-*")}
    assert folders == set(station.ids(app.app))
