"""Tests of the node's sample and of the workers' sign of life, which the admin page shows."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import redis

from portal.metrics.node import KEY, WORKER_KEY, NodeSample, Pressure, node_now
from runtime.containers.container import Status
from workers.heartbeat import BEAT, Heartbeat
from workers.supervisor.node_samples import NodeSampling, versions

STAT = "cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 2 3 4\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "pressure").mkdir()
    (tmp_path / "meminfo").write_text("MemTotal: 8000 kB\nMemFree: 10 kB\nMemAvailable: 3000 kB\n")
    (tmp_path / "loadavg").write_text("1.25 0.90 0.40 2/300 999\n")
    (tmp_path / "stat").write_text(STAT.format(busy=100, idle=900))
    for name, share in (("cpu", "12.50"), ("io", "0.00")):
        (tmp_path / "pressure" / name).write_text(
            f"some avg10={share} avg60=0.00 avg300=0.00 total=1\nfull avg10=9.99 avg60=0 total=0\n"
        )
    return tmp_path


def sampling(proc: Path, broker: redis.Redis, *, answers: bool = True) -> NodeSampling:
    running = SimpleNamespace(status=Status.RUNNING)
    ended = SimpleNamespace(status=Status.EXITED)
    engine = SimpleNamespace(
        config=SimpleNamespace(state=proc), router=SimpleNamespace(answers=lambda: answers)
    )
    cache = SimpleNamespace(instances=lambda: [running, running, ended])
    return NodeSampling(engine, cache, broker, proc=proc)  # type: ignore[arg-type]  # the parts that are read


def test_a_sample_has_the_numbers_of_the_kernel(proc: Path, broker: redis.Redis) -> None:
    reader = sampling(proc, broker)
    reader.round()
    (proc / "stat").write_text(STAT.format(busy=150, idle=950))
    reader.round()
    sample = msgspec.json.decode(str(broker.get(KEY)), type=NodeSample)
    assert sample.cpu == 50.0
    assert (sample.memory_total, sample.memory_used) == (8000 * 1024, 5000 * 1024)
    assert sample.load == (1.25, 0.9, 0.4)
    assert sample.pressure == Pressure(cpu=12.5, memory=None, io=0.0)
    assert (sample.instances, sample.router_answers) == (2, True)
    assert sample.disk_used > 0
    assert sample.disk_available > 0
    assert 0 < broker.ttl(KEY) <= 60


def test_the_versions_are_those_of_the_installed_programs() -> None:
    found = versions()
    assert {"Slipway", "Linux", "Python", "HAProxy", "crun", "conmon"} <= set(found)
    assert all(number[0].isdigit() for number in found.values())


def test_a_worker_writes_samples_from_its_own_loop(broker: redis.Redis) -> None:
    calls: list[tuple[float, object, tuple[object, ...]]] = []
    cancelled: list[bool] = []
    timer = SimpleNamespace(cancel=lambda: cancelled.append(True))

    def call_repeatedly(every: float, call: object, args: tuple[object, ...]) -> object:
        calls.append((every, call, args))
        return timer

    parent = SimpleNamespace(
        hostname="celery@worker-node",
        pool=SimpleNamespace(num_processes=12),
        timer=SimpleNamespace(call_repeatedly=call_repeatedly),
    )
    beat = Heartbeat(parent)
    beat.start(parent)
    ((every, call, args),) = calls
    assert every == BEAT
    broker.delete(WORKER_KEY % "worker-node")
    call(*args)  # type: ignore[operator]  # a method
    parts = {part.name: part for part in node_now(now=time.time()).parts}
    assert parts["worker-node"].answers
    assert "0 of at most 12" in parts["worker-node"].text
    assert not parts["worker-build"].answers
    assert not {part.name: part for part in node_now(now=time.time() + 26).parts}[
        "worker-node"
    ].answers
    beat.stop(parent)
    beat.stop(parent)
    assert cancelled == [True]


def test_without_redis_a_sample_is_lost_and_logged_once(
    proc: Path, broker: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    reader = sampling(proc, redis.Redis(port=1, socket_connect_timeout=1))
    for _ in range(3):
        reader.round()
    assert [record.message[:41] for record in caplog.records] == [
        "The admin page does not show the node: Er"
    ]
