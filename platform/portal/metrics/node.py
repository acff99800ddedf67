"""Read the state of the node, which the supervisor and the workers write to Redis for a short time.
They import this module, so it has no models."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import redis

from portal.events import client

log = logging.getLogger(__name__)
KEY = "slipway:node"
WORKER_KEY = "slipway:worker:%s"
SAMPLE_EXPIRY, WORKER_EXPIRY = 60, 60  # seconds
FRESH = 25.0  # seconds; without a newer value, the process does not answer
# Name of a worker -> its queues, as `workers.serve` starts them.
WORKERS = {"worker-build": ("build",), "worker-node": ("node", "upkeep")}
QUEUES = {
    "build": "builds and stack upgrades",
    "node": "rollouts, runs and removals",
    "upkeep": "domains, certificates and cleaning up",
}


class Pressure(msgspec.Struct, frozen=True, kw_only=True):
    """The share of time, in percent of the last 10 s, in which some process waited for a resource.

    None if the kernel does not measure it (https://docs.kernel.org/accounting/psi.html).
    """

    cpu: float | None = None
    memory: float | None = None
    io: float | None = None

    @property
    def is_measured(self) -> bool:
        return self != Pressure()


class NodeSample(msgspec.Struct, frozen=True, kw_only=True):
    """The machine at `at` (Unix time): CPU in percent of all cores, sizes in bytes."""

    at: float
    cpu: float = 0.0
    cores: int = 1
    load: tuple[float, float, float] = (0.0, 0.0, 0.0)
    memory_used: int = 0
    memory_total: int = 0
    disk_used: int = 0  # of the disk with the state folder
    disk_available: int = 0
    pressure: Pressure = msgspec.field(default_factory=Pressure)
    instances: int = 0
    router_answers: bool = False
    versions: Mapping[str, str] = msgspec.field(default_factory=dict)

    @property
    def disk_total(self) -> int:
        return self.disk_used + self.disk_available


class WorkerSample(msgspec.Struct, frozen=True, kw_only=True):
    """A worker at `at`: the tasks that it runs now, and the most at once."""

    at: float
    tasks: int
    at_once: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A process of the platform, with a sentence about what it does now."""

    name: str
    answers: bool
    text: str

    @property
    def word(self) -> str:
        return "live" if self.answers else "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNow:
    """The node as the admin page shows it. `sample` is None without a supervisor."""

    sample: NodeSample | None
    parts: Sequence[Part]
    queues: Sequence[tuple[str, str, int]]  # name, what it holds, waiting tasks
    versions: Mapping[str, str]


def node_now(*, now: float | None = None) -> NodeNow:
    """Read everything with one round trip. Nothing answers while Redis is not available."""
    moment = time.time() if now is None else now
    try:
        with client().pipeline(transaction=False) as pipeline:
            pipeline.mget(KEY, *(WORKER_KEY % name for name in WORKERS))
            for queue in QUEUES:
                pipeline.llen(queue)
            pipeline.info("server")
            (node, *workers), *lengths, server = pipeline.execute()
    except redis.RedisError as error:
        log.warning("The state of the node is not known, because Redis did not answer: %s", error)
        return NodeNow(
            sample=None,
            parts=[Part(name="redis", answers=False, text="It does not answer the portal.")],
            queues=[],
            versions={},
        )
    sample = msgspec.json.decode(node, type=NodeSample) if node is not None else None
    if sample is not None and sample.at < moment - FRESH:
        sample = None
    return NodeNow(
        sample=sample,
        parts=[
            _supervisor(sample),
            _router(sample),
            Part(name="redis", answers=True, text="It answers."),
            *(_worker(name, text, moment) for name, text in zip(WORKERS, workers, strict=True)),
        ],
        queues=[
            (queue, QUEUES[queue], length) for queue, length in zip(QUEUES, lengths, strict=True)
        ],
        versions={
            **(sample.versions if sample is not None else {}),
            "Redis": str(server["redis_version"]),
        },
    )


def _supervisor(sample: NodeSample | None) -> Part:
    if sample is None:
        text = "It has written no sample for 25 s. Look at its log, and start it again."
        return Part(name="supervisor", answers=False, text=text)
    noun = "instance" if sample.instances == 1 else "instances"
    return Part(name="supervisor", answers=True, text=f"It watches {sample.instances} {noun}.")


def _router(sample: NodeSample | None) -> Part:
    if sample is None:
        return Part(name="router", answers=False, text="Not known without the supervisor.")
    if not sample.router_answers:
        text = "It does not answer the supervisor. Look at its log, and start it again."
        return Part(name="router", answers=False, text=text)
    return Part(name="router", answers=True, text="It answers the supervisor.")


def _worker(name: str, text: str | None, now: float) -> Part:
    sample = msgspec.json.decode(text, type=WorkerSample) if text is not None else None
    if sample is None or sample.at < now - FRESH:
        text = "It has not answered for 25 s, so its queues wait. Look at its log."
        return Part(name=name, answers=False, text=text)
    return Part(
        name=name,
        answers=True,
        text=f"It runs {sample.tasks} of at most {sample.at_once} tasks at once.",
    )
