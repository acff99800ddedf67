"""Tests of liveness checks on a real node: an instance that answers 500 leaves the pool, returns,
and is finally restarted.
"""

from __future__ import annotations

import time
from dataclasses import replace

import httpx

from runtime.contract.health import HealthCheck
from runtime.converge.observed import ProbeResult
from runtime.converge.planning.plan import OutcomeState
from runtime.router.routes import PathRoute
from tests.runtime.engines.conftest import release, release_with

CHECK = HealthCheck(path="/healthz", interval=1.0, attempts=2, timeout=5.0)


def ask_all(station, app):
    """Probe all instances once, as the supervisor does.

    Return the consecutive failures of each failing instance.
    """
    engine = station.engine
    checks = engine.app_files.checks(app)
    before, failing = engine.app_files.probe_results(app), {}
    for container in engine.instances():
        if (
            container.id in checks
            and not (answer := engine.check_health(container, checks[container.id])).healthy
        ):
            failures = before[container.id].failures + 1 if container.id in before else 1
            failing[container.id] = ProbeResult(
                failures=failures, at=time.time(), trouble=answer.describe()
            )
    engine.app_files.save_probe_results(app, failing)
    return {key: pulse.failures for key, pulse in failing.items()}


def tell(station, instance, path):
    container = station.engine.containers.state(instance)
    return httpx.get(
        f"http://{container.address}:{container.spec.labels['port']}{path}", timeout=15
    )


def served_by(station, app, path="/"):
    return {station.get(app, path).text.split()[1] for _ in range(12)}


def test_a_failing_instance_leaves_the_pool_and_is_finally_restarted(station, app):
    app, look = station.roll_out(app, release(1, count=2, health=CHECK))
    assert look.plan.outcome.state is OutcomeState.LIVE
    both = station.ids(app.app)
    assert station.engine.app_files.checks(app.app) == dict.fromkeys(both, CHECK)
    assert ask_all(station, app.app) == {}
    assert station.step(app).plan.settled

    sick, well = both
    tell(station, sick, "/sicken")
    assert [ask_all(station, app.app) for _ in range(2)] == [{sick: 1}, {sick: 2}]
    station.settle(app)
    assert served_by(station, app.app) == {well}
    assert "GET /healthz was answered with status 500, 2 times in a row" in station.log(app.app)

    tell(station, well, "/sicken")
    assert [ask_all(station, app.app)[well] for _ in range(2)] == [1, 2]
    station.settle(app)
    assert served_by(station, app.app) == set(both)  # no healthy instance is left

    tell(station, well, "/recover")
    ask_all(station, app.app)
    station.settle(app)
    assert served_by(station, app.app) == {well}

    while ask_all(station, app.app).get(sick, 0) < 3 * CHECK.attempts:
        pass
    station.settle(app)
    assert sick not in station.ids(app.app)
    assert well in station.ids(app.app)
    assert len(served_by(station, app.app)) == 2
    assert (
        "It no longer answered its health check: GET /healthz was answered with status 500, 6 times"
        " in a row." in station.log(app.app)
    )


def test_a_changed_check_applies_to_instances_started_later(station, app):
    app, _ = station.roll_out(app, release(1, health=CHECK))
    (only,) = station.ids(app.app)
    changed = replace(app, current=replace(app.current, health=replace(CHECK, path="/elsewhere")))
    assert station.step(changed).plan.settled
    assert station.engine.app_files.checks(app.app) == {only: CHECK}


def test_a_process_type_of_a_path_is_probed_even_if_the_path_came_later(station, app):
    app, _ = station.roll_out(app, release_with(1, {"web": 1, "api": 2}, health=CHECK))
    (web,) = station.engine.app_files.checks(app.app)
    app = replace(app, paths=(PathRoute(prefix="/api", process="api"),))
    station.settle(app)
    assert station.engine.app_files.checks(app.app) == dict.fromkeys(station.ids(app.app), CHECK)
    sick, well = (key for key in station.ids(app.app) if key != web)
    assert served_by(station, app.app, "/api") == {sick, well}

    tell(station, sick, "/sicken")
    assert [ask_all(station, app.app) for _ in range(2)] == [{sick: 1}, {sick: 2}]
    station.settle(app)
    assert served_by(station, app.app, "/api") == {well}

    while ask_all(station, app.app).get(sick, 0) < 3 * CHECK.attempts:
        pass
    station.settle(app)
    assert sick not in station.ids(app.app)
    assert {web, well} < set(station.ids(app.app))
    assert len(served_by(station, app.app, "/api")) == 2
    assert served_by(station, app.app) == {web}
