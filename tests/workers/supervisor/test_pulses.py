"""Tests of repeated health checks: when an instance is checked, and what is recorded."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from runtime.containers.container import Status
from runtime.contract.health import HealthCheck
from runtime.converge.container_spec import INSTANCE
from runtime.converge.explain import ProbeAnswer
from runtime.converge.observed import ProbeResult
from workers.supervisor.health_checks import MAX_PER_APP, HealthChecks

CHECK = HealthCheck(interval=10.0, attempts=2)
FINE, BAD = ProbeAnswer(status=200), ProbeAnswer(status=500)


@dataclass
class Engine:
    """A fake node, instance cache and clock. `answers` are by app; a callable may block."""

    answers: dict[str, object] = field(default_factory=dict)
    written: dict[str, dict[str, ProbeResult]] = field(default_factory=dict)
    containers: list[SimpleNamespace] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    notes: int = 0
    now: float = 1000.0

    def add(self, app: str, number: int) -> str:
        spec = SimpleNamespace(app=app, labels={"kind": INSTANCE, "port": "80"})
        self.containers.append(
            SimpleNamespace(
                id=f"{app}-{number}", spec=spec, status=Status.RUNNING, address="10.0.0.2"
            )
        )
        return f"{app}-{number}"

    def instances(self):
        return list(self.containers)

    @property
    def app_files(self):
        return self

    def checks(self, app):
        return {container.id: CHECK for container in self.containers if container.spec.app == app}

    def check_health(self, container, _check):
        self.asked.append(container.id)
        answer = self.answers.get(container.spec.app, FINE)
        return answer() if callable(answer) else answer

    def probe_results(self, app):
        return self.written.get(app, {})

    def save_probe_results(self, app, failing):
        self.notes += 1
        self.written[app] = dict(failing)


@pytest.fixture
def node():
    return Engine()


@pytest.fixture
def changed():
    return []


@pytest.fixture
def pulses(node, changed):
    made = HealthChecks(node, node, changed=changed.append, clock=lambda: node.now)
    yield made
    made.stop()


def rounds(pulses, node, seconds):
    """Do a round per second. Each round waits until its health checks have answered."""
    for _ in range(seconds):
        node.now += 1.0
        pulses.round()
        until(
            lambda: not pulses._under_way
        )  # nothing else shows that all answers of a round are there


def until(true):
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_healthy_instance_is_checked_each_interval_without_a_record(node, pulses, changed):
    for number in range(20):
        node.add("blog", number)
    rounds(pulses, node, 30)
    asked = [node.asked.count(container.id) for container in node.containers]
    assert min(asked) >= 2
    assert max(asked) <= 3
    assert (node.notes, changed) == (0, [])


def test_failures_in_a_row_are_counted_and_reported_from_the_limit_on(node, pulses, changed):
    instance = node.add("blog", 1)
    node.answers["blog"] = BAD
    rounds(pulses, node, 20)
    assert node.written["blog"][instance].failures == 2
    assert node.written["blog"][instance].trouble == "was answered with status 500"
    assert changed == ["blog"]
    node.answers["blog"] = FINE
    rounds(pulses, node, 10)
    assert node.written["blog"] == {}
    assert changed == ["blog", "blog"]


def test_a_restarted_supervisor_continues_the_count(node, pulses):
    instance = node.add("blog", 1)
    node.written["blog"] = {
        instance: ProbeResult(failures=5, at=990.0, trouble="was refused"),
        "blog-gone": ProbeResult(failures=1, at=990.0, trouble=""),
    }
    node.answers["blog"] = BAD
    rounds(pulses, node, 10)
    assert {key: pulse.failures for key, pulse in node.written["blog"].items()} == {instance: 6}


def test_an_app_whose_instances_hang_does_not_delay_other_apps(node, pulses):
    let_go = threading.Event()

    def hang():
        let_go.wait(60)
        return BAD

    node.answers["tarpit"] = hang
    for number in range(50):
        node.add("tarpit", number)
    others = [node.add(f"app{number}", 1) for number in range(100)]
    try:
        for _ in range(12):
            node.now += 1.0
            pulses.round()
        until(lambda: set(others) <= set(node.asked))
        assert sum(instance.startswith("tarpit") for instance in node.asked) == MAX_PER_APP
    finally:
        let_go.set()
    until(lambda: not pulses._under_way)  # see `rounds`
