"""Tests of autoscaling, from samples to a new formation.

Redis and the rows are real, and the node is a fake.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import redis

from portal.apps.models import Instance, InstanceState, ProcessFormation
from portal.traffic import actions
from portal.traffic.access import scalings_of
from runtime.containers.container import Status
from runtime.router.access_log.metrics import Tally, bucket_of
from runtime.router.routes import AppRoutes, AppSituation, Endpoint
from tests.portal.apps.test_apps import live_app
from tests.portal.conftest import make_crew
from workers.store import demand
from workers.supervisor.demand_samples import DemandSampling
from workers.tasks.autoscale import autoscale_all


@dataclass
class Node:
    """A fake node: an app's two web instances.

    It is also the instance cache, the router and the clock.
    """

    app: str
    cpu: float = 0.0
    open: int = 0
    counted: Tally = field(default_factory=Tally)
    now: float = field(default_factory=lambda: time.time() - 60)

    @property
    def router(self):
        return self

    def instances(self):
        def container(number, process):
            spec = SimpleNamespace(app=self.app, labels={"process": process})
            return SimpleNamespace(id=f"i{number}", spec=spec, status=Status.RUNNING)

        return [container(1, "web"), container(2, "web"), container(3, "worker")]

    def usage(self, _id):
        return SimpleNamespace(cpu_seconds=self.cpu)

    def in_flight(self):
        return {self.app: self.open}

    def route(self, app):
        ends = tuple(
            Endpoint(instance=f"i{number}", address="10.0.0.2", port=80, draining=number == 3)
            for number in (1, 2, 3)
        )
        return AppRoutes(app=app, hosts=(), endpoints=ends, situation=AppSituation.SERVING)


@pytest.fixture
def app(db: None, broker: redis.Redis):
    crew = make_crew()
    app = live_app(crew, {"web": "run", "worker": "run"})
    actions.change(crew.owner, app=app, changes={"autoscale": True, "autoscale_most": 5})
    ProcessFormation.objects.filter(app=app, process="web").update(count=2)
    return app


def test_a_sample_holds_the_demand_since_the_previous_sample(broker: redis.Redis) -> None:
    node = Node(app="blog", open=3)
    sampling = DemandSampling(
        node, node, broker, tally=lambda _: node.counted, clock=lambda: node.now
    )
    sampling.round()
    assert demand.samples_of(broker, ["blog"]) == {
        "blog": []
    }  # nobody had requested samples before
    sampling.round()
    node.now, node.cpu = node.now + 2, 0.5
    node.counted.took, node.counted.queued, node.counted.latency[bucket_of(100)] = (
        20_000,
        4_000,
        100,
    )
    sampling.round()
    node.now, node.open = node.now + 2, 30
    sampling.round()
    first, second = demand.samples_of(broker, ["blog"])["blog"]
    assert (first.ready, first.in_flight, first.waiting, first.cpu) == (2, 10.0, 2.0, 500.0)
    assert 96 < first.p95 <= 104
    assert (second.in_flight, second.waiting, second.cpu, second.p95) == (30.0, 0.0, 0.0, None)


def test_a_busy_app_gets_instances_and_a_sleeping_app_does_not(app, broker: redis.Redis) -> None:
    autoscale_all()
    node = Node(app=app.name, open=74)
    sampling = DemandSampling(
        node, node, broker, tally=lambda _: node.counted, clock=lambda: node.now
    )
    while node.now < time.time() - 1:
        sampling.round()
        node.now += 2
    row = Instance.objects.create(
        id="i1", app=app, process="web", release_number=1, node="n", state=InstanceState.ASLEEP
    )
    autoscale_all()
    assert scalings_of(app) == []
    row.delete()
    autoscale_all()
    (scaling,) = scalings_of(app)
    assert (scaling.before, scaling.after, scaling.reason) == (
        2,
        4,
        "37 requests in flight per instance, target 20",
    )
    assert ProcessFormation.objects.get(app=app, process="web").count == 4
    autoscale_all()
    assert len(scalings_of(app)) == 1


def test_without_samples_only_a_count_out_of_bounds_changes(app) -> None:
    autoscale_all()
    assert scalings_of(app) == []
    ProcessFormation.objects.filter(app=app, process="web").update(count=9)
    autoscale_all()
    assert ProcessFormation.objects.get(app=app, process="web").count == 5
