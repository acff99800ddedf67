"""Tests of apps that fall asleep and are woken by requests.

The supervisor and the router are real, and are killed at critical moments. The tests reconcile as
the workers do, but with seconds in place of an app's minutes.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
from django.conf import settings

from portal.apps.models import App
from portal.releases.models import RolloutState
from runtime.containers.container import Status
from runtime.converge import app_state
from runtime.converge.desired import DesiredApp, Sleep
from runtime.converge.wake import WOKEN
from runtime.router.routes import AppSituation, PathRoute
from tests.workers.conftest import Plant
from tests.workers.test_traffic import websocket
from workers.bridge import translate
from workers.tasks.rollout import roll_out

pytestmark = pytest.mark.slow

IDLE = 2.0  # seconds


@dataclass(kw_only=True)
class Sleeper:
    """An app whose sleep is counted in seconds.

    `tend` does repeatedly what a worker does for it.
    """

    plant: Plant
    app: App
    desired: DesiredApp
    over: threading.Event
    turn: threading.Lock = field(
        default_factory=threading.Lock
    )  # its holder keeps the worker from the app

    def tend(self) -> None:
        while not self.over.is_set():
            with self.turn, self.plant.engine.holding(self.app.name, timeout=20) as held:
                assert held
                look = self.plant.engine.look(self.desired)
                self.plant.engine.act(self.desired, look)
            if not look.plan.actions:
                time.sleep(0.02)

    @property
    def situation(self) -> AppSituation:
        return self.plant.engine.router.route(self.app.name).situation

    def frozen(self) -> list[bool]:
        return [
            self.plant.engine.containers.is_frozen(instance.id)
            for instance in self.plant.engine.instances()
        ]

    def asleep(self) -> bool:
        return self.situation is AppSituation.ASLEEP and all(self.frozen())

    def stopped(self) -> bool:
        return self.situation is AppSituation.ASLEEP and {
            instance.status for instance in self.plant.engine.instances()
        } == {Status.CREATED}

    def wakes(self) -> int:
        return (self.plant.config.app_logs / f"{self.app.name}.log").read_text().count(WOKEN)

    def until(self, reached, seconds: float = 60) -> None:
        self.plant.until(reached, seconds=seconds)


@pytest.fixture
def sleeper(plant) -> Iterator[Sleeper]:
    app = plant.app()
    rollout = plant.release(app)
    roll_out(rollout.pk)
    rollout.refresh_from_db()
    assert rollout.state == RolloutState.LIVE
    app.refresh_from_db()
    desired = replace(translate.desired_app(app), sleep=Sleep(after=IDLE, stop_after=3600.0))
    made = Sleeper(plant=plant, app=app, desired=desired, over=threading.Event())
    thread = threading.Thread(target=made.tend)
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        thread.join()


def test_an_idle_app_is_frozen_and_the_first_requests_wake_it_once(sleeper):
    plant = sleeper.plant
    plant.supervisor()
    sleeper.until(sleeper.asleep)
    (before,) = plant.engine.instances()
    answer = plant.get(sleeper.app)
    assert answer.status_code == 200, answer.text
    assert sleeper.frozen() == [False]
    sleeper.until(sleeper.asleep)
    assert sleeper.wakes() == 1
    sleeper.desired = replace(sleeper.desired, sleep=Sleep(after=600.0))  # it must stay awake
    with ThreadPoolExecutor(max_workers=50) as pool:
        answers = list(pool.map(lambda _: plant.get(sleeper.app), range(50)))
    assert {response.status_code for response in answers} == {200}
    (after,) = plant.engine.instances()
    assert (after.id, after.pid) == (before.id, before.pid)
    assert sleeper.wakes() == 2


def test_a_started_instance_gets_traffic_after_its_first_good_check(sleeper):
    plant, name = sleeper.plant, sleeper.app.name
    supervisor = plant.supervisor()
    sleeper.desired = replace(sleeper.desired, sleep=Sleep(after=IDLE, stop_after=1.0))
    sleeper.until(sleeper.stopped)
    with (
        sleeper.turn
    ):  # before the end of the request counter is seen, which alone would wake the app
        plant.kill(supervisor)
        sleeper.desired = replace(sleeper.desired, sleep=Sleep(after=600.0))
        (booting,) = plant.engine.wake(name)
        assert sleeper.situation is AppSituation.HOLDING
        sleeper.until(lambda: plant.engine.admit(booting))
        assert sleeper.situation is AppSituation.SERVING
        assert [end.instance for end in plant.engine.router.route(name).endpoints] == [
            booting.container.id
        ]
        assert (
            app_state.load(plant.engine.app_files.state(name)).marks[booting.container.id].check
            == booting.check
        )
        assert plant.get(sleeper.app).status_code == 200
        assert plant.engine.admit(booting), "it has traffic already"
    assert plant.engine.wake(name) == (), "the app is awake"


def test_a_paths_started_instance_gets_traffic_after_its_first_good_check(sleeper):
    plant, name = sleeper.plant, sleeper.app.name
    supervisor = plant.supervisor()
    (web,) = sleeper.desired.current.processes
    both = replace(sleeper.desired.current, processes=(web, replace(web, name="api", count=1)))
    paths = (PathRoute(prefix="/api", process="api"),)
    sleeper.desired = replace(
        sleeper.desired, current=both, paths=paths, sleep=Sleep(after=IDLE, stop_after=1.0)
    )
    sleeper.until(lambda: sleeper.stopped() and len(plant.engine.instances()) == 2)
    with (
        sleeper.turn
    ):  # before the end of the request counter is seen, which alone would wake the app
        plant.kill(supervisor)
        sleeper.desired = replace(sleeper.desired, sleep=Sleep(after=600.0))
        booting = {boot.endpoint.process: boot for boot in plant.engine.wake(name)}
        assert booting.keys() == {"web", "api"}
        sleeper.until(lambda: plant.engine.admit(booting["api"]))
        routes = plant.engine.router.route(name)
        assert (routes.situation, routes.paths[0].situation) == (
            AppSituation.HOLDING,
            AppSituation.SERVING,
        )
        assert "-api-" in plant.get(sleeper.app, "/api").text
        sleeper.until(lambda: plant.engine.admit(booting["web"]))
        assert "-web-" in plant.get(sleeper.app).text


def test_a_kill_before_the_thaw_leaves_no_app_frozen(sleeper):
    plant, name = sleeper.plant, sleeper.app.name
    supervisor = plant.supervisor()
    sleeper.until(sleeper.asleep)
    plant.kill(supervisor)
    with plant.engine.holding(
        name, timeout=20
    ) as held:  # this block writes what `wake` has written by then
        assert held
        path = plant.engine.app_files.state(name)
        app_state.save(path, app_state.load(path).woken(time.time()))
        sleeper.desired = replace(sleeper.desired, sleep=None)
    sleeper.until(lambda: sleeper.frozen() == [False] and sleeper.situation is AppSituation.SERVING)
    assert plant.get(sleeper.app).status_code == 200


def test_a_stopped_instance_is_kept_ready_and_the_first_request_starts_it(sleeper):
    plant = sleeper.plant
    plant.supervisor()
    sleeper.desired = replace(sleeper.desired, sleep=Sleep(after=IDLE, stop_after=1.0))
    sleeper.until(sleeper.stopped)
    (ready,) = plant.engine.instances()
    with ThreadPoolExecutor(max_workers=20) as pool:
        answers = list(pool.map(lambda _: plant.get(sleeper.app), range(20)))
    assert {response.status_code for response in answers} == {200}
    assert {response.text.split()[1] for response in answers} == {ready.id}


def test_requests_on_a_path_wait_for_its_stopped_or_crashed_instance(sleeper):
    plant = sleeper.plant
    plant.supervisor()
    current = sleeper.desired.current
    (web,) = current.processes
    both = replace(current, processes=(web, replace(web, name="api", count=1)))
    paths = (PathRoute(prefix="/api", process="api"),)
    sleeper.desired = replace(
        sleeper.desired, current=both, paths=paths, sleep=Sleep(after=IDLE, stop_after=1.0)
    )
    sleeper.until(lambda: sleeper.stopped() and len(plant.engine.instances()) == 2)
    answer = plant.get(sleeper.app, "/api")
    assert answer.status_code == 200, answer.text
    assert "-api-" in answer.text
    assert sleeper.wakes() == 1
    sleeper.desired = replace(sleeper.desired, sleep=None)
    sleeper.until(lambda: len(plant.engine.router.route(sleeper.app.name).endpoints) == 2)
    (api,) = (instance for instance in plant.engine.instances() if "-api-" in instance.id)
    with ThreadPoolExecutor(max_workers=1) as pool:
        with sleeper.turn:  # so that it is not back before the request
            os.kill(api.pid, signal.SIGKILL)
            sleeper.until(
                lambda: (
                    plant.engine.router.route(sleeper.app.name).paths[0].situation
                    is AppSituation.HOLDING
                )
            )
            held = pool.submit(plant.get, sleeper.app, "/api")
            assert "-web-" in plant.get(sleeper.app).text
            assert not held.done()
        answer = held.result()
    assert answer.status_code == 200, answer.text
    assert api.id not in answer.text


def test_an_open_websocket_keeps_an_app_awake(sleeper):
    plant = sleeper.plant
    plant.supervisor()
    with websocket(plant.config.http_port, f"{sleeper.app.name}.{settings.BASE_DOMAIN}") as tunnel:
        sleeper.until(lambda: plant.engine.app_files.request_counts(sleeper.app.name) is not None)
        time.sleep(3 * IDLE)
        assert sleeper.situation is AppSituation.SERVING
        tunnel.sendall(b"hello")
        assert tunnel.recv(5) == b"hello"
    sleeper.until(sleeper.asleep)


def test_a_killed_supervisor_leaves_no_app_that_does_not_answer(sleeper):
    plant = sleeper.plant
    supervisor = plant.supervisor()
    for pause in (0.0, 0.01, 0.05, 0.3):
        sleeper.until(lambda: sleeper.situation is AppSituation.ASLEEP)
        plant.kill(supervisor)
        supervisor = plant.supervisor()
        sleeper.until(sleeper.asleep)
        with ThreadPoolExecutor(max_workers=1) as pool:
            response = pool.submit(plant.get, sleeper.app)
            time.sleep(pause)
            plant.kill(supervisor)
            supervisor = plant.supervisor()
            assert response.result().status_code == 200, response.result().text
        assert plant.get(sleeper.app).status_code == 200


def test_without_redis_and_a_worker_the_supervisor_wakes_and_reconciles(sleeper, broker):
    plant = sleeper.plant
    sleeper.desired = replace(sleeper.desired, sleep=Sleep(after=IDLE, stop_after=1.0))
    supervisor = plant.supervisor()
    sleeper.until(sleeper.stopped)
    plant.kill(supervisor)
    sleeper.over.set()  # from now on only the supervisor reconciles
    broker.config_set("maxclients", 1)  # Redis refuses all other clients
    try:
        plant.supervisor()
        assert plant.get(sleeper.app).status_code == 200
    finally:
        broker.config_set("maxclients", 1000)
