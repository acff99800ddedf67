"""Samples of the machine for the admin page, in Redis for a short time."""

from __future__ import annotations

import logging
import os
import platform
import re
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import redis

from portal.metrics.node import KEY, SAMPLE_EXPIRY, NodeSample, Pressure
from runtime import process
from runtime.containers.container import Status
from runtime.engines.node import NodeEngine
from runtime.errors import RuntimeFailure
from runtime.images.disk import disk_of
from workers.supervisor.instance_cache import InstanceCache

log = logging.getLogger(__name__)
_ROOT = Path(__file__).resolve().parents[2]
_SOME = re.compile(r"^some avg10=([\d.]+)", re.MULTILINE)
_KIB = re.compile(r"^(\w+):\s+(\d+) kB", re.MULTILINE)
_VERSION = re.compile(r'^version = "([^"]+)"', re.MULTILINE)
_NUMBER = re.compile(rb"\d+\.\d+(?:[.\-]\w+)*")
_PROGRAMS = {
    "HAProxy": ("haproxy", "-v"),
    "crun": ("crun", "--version"),
    "conmon": ("conmon", "--version"),
}


class NodeSampling:
    """The sampling of the machine. CPU is the mean since the last round."""

    def __init__(
        self,
        engine: NodeEngine,
        instance_cache: InstanceCache,
        client: redis.Redis,
        *,
        proc: Path = Path("/proc"),
    ) -> None:
        self._engine, self._instance_cache, self._client = engine, instance_cache, client
        self._proc = proc
        self._cpu = (0, 0)  # busy and all ticks, as of the last round
        self._versions: Mapping[str, str] = {}
        self._has_warned = False

    def round(self) -> None:
        """Write one sample. Without Redis it is lost; this is logged once."""
        sample = msgspec.json.encode(self.sample())
        try:
            self._client.set(KEY, sample, ex=SAMPLE_EXPIRY)
        except redis.RedisError as error:
            if not self._has_warned:
                log.warning("The admin page does not show the node: %s", error)
            self._has_warned = True
        else:
            self._has_warned = False

    def sample(self) -> NodeSample:
        """Read the machine."""
        self._versions = self._versions or versions()
        disk = disk_of(self._engine.config)
        text = (self._proc / "meminfo").read_text()
        memory = {name: int(size) * 1024 for name, size in _KIB.findall(text)}
        minute, five, fifteen, *_ = (self._proc / "loadavg").read_text().split()
        return NodeSample(
            at=time.time(),
            cpu=self._cpu_percent(),
            cores=len(os.sched_getaffinity(0)),
            load=(float(minute), float(five), float(fifteen)),
            memory_used=memory["MemTotal"] - memory["MemAvailable"],
            memory_total=memory["MemTotal"],
            disk_used=int(disk.used),
            disk_available=int(disk.available),
            pressure=Pressure(
                cpu=self._stalled("cpu"), memory=self._stalled("memory"), io=self._stalled("io")
            ),
            instances=sum(
                container.status is Status.RUNNING for container in self._instance_cache.instances()
            ),
            router_answers=self._engine.router.answers(),
            versions=self._versions,
        )

    def _cpu_percent(self) -> float:
        """Return the share of time in which the cores were busy (proc_stat(5))."""
        ticks = [int(word) for word in (self._proc / "stat").read_text().split(maxsplit=9)[1:9]]
        idle = ticks[3] + ticks[4]  # idle and iowait
        now, before = (sum(ticks) - idle, sum(ticks)), self._cpu
        self._cpu = now
        passed = now[1] - before[1]
        return round(100 * (now[0] - before[0]) / passed, 1) if passed > 0 else 0.0

    def _stalled(self, resource: str) -> float | None:
        try:
            found = _SOME.search((self._proc / "pressure" / resource).read_text())
        except OSError:  # a kernel without PSI, or PSI is switched off
            return None
        return float(found[1]) if found else None


def versions() -> dict[str, str]:
    """Return the versions of the parts of the node. A program that does not answer is left out."""
    project = _VERSION.search((_ROOT / "pyproject.toml").read_text())
    found = {
        "Slipway": project[1] if project else "unknown",
        "Linux": platform.release(),
        "Python": platform.python_version(),
    }
    for name, command in _PROGRAMS.items():
        try:
            text = process.run(command, timeout=5).stdout
        except RuntimeFailure as failure:
            log.warning("The version of %s is not known: %s", name, failure.explain())
            continue
        if (number := _NUMBER.search(text)) is not None:
            found[name] = number[0].decode()
    return found
