"""Detection of ended instances, at the moment they end.

Each instance has a pidfd (pidfd_open(2)), which becomes readable when the process is gone.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable

from runtime.containers.container import Container, Status
from runtime.converge.container_spec import INSTANCE
from runtime.engines.node import NodeEngine
from workers.supervisor.instance_cache import InstanceCache

_EXIT_STATUS_SECONDS = 0.5  # seconds for the monitor to write the exit status
_POLL_SECONDS = 0.005
# Seconds until an ended instance that still exists is reported again. The message may be lost with
# Redis, or with the worker that received it.
_REPORT_AGAIN_SECONDS = 3.0


class ExitWatch:
    """A watcher that calls `ended` with each instance whose process is gone.

    Before the first call, the router stops sending requests to the instance. The call repeats until
    the instance is removed.
    """

    def __init__(
        self,
        engine: NodeEngine,
        instance_cache: InstanceCache,
        ended: Callable[[Container], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._instance_cache, self._ended, self._clock = (
            engine,
            instance_cache,
            ended,
            clock,
        )
        self._selector = selectors.DefaultSelector()
        self._watched: dict[str, int] = {}
        self._done: dict[str, float] = {}  # ended instance -> time of its last report

    def watch(self, timeout: float) -> None:
        """Watch new instances too, then wait at most `timeout` seconds for instances to end."""
        present = {container.id: container for container in self._instance_cache.instances()}
        self._done = {
            name: reported_at for name, reported_at in self._done.items() if name in present
        }
        for gone in self._watched.keys() - present.keys():
            self._forget(gone)
        for container in present.values():
            self._watch_container(container)
        for name in [
            name
            for name, reported_at in self._done.items()
            if self._clock() - reported_at >= _REPORT_AGAIN_SECONDS
        ]:
            self._done[name] = self._clock()
            self._ended(present[name])
        for key, _ in self._selector.select(timeout):
            self._forget(key.data.id)
            self._report_end(key.data)

    def close(self) -> None:
        """Close all pidfds."""
        for watched in list(self._watched):
            self._forget(watched)
        self._selector.close()

    def _watch_container(self, container: Container) -> None:
        if container.id in self._watched or container.id in self._done:
            return
        if container.status in (Status.EXITED, Status.BROKEN):
            self._report_end(container)  # ended before this look, or while no supervisor ran
            return
        if container.status is not Status.RUNNING or container.pid is None:
            return
        try:
            fd = os.pidfd_open(container.pid)
        except ProcessLookupError:
            return  # the next look shows it as exited
        now = self._engine.containers.state(container.id)
        if now is None or now.pid != container.pid:  # another process may have its number by now
            os.close(fd)
            return
        self._watched[container.id] = fd
        self._selector.register(fd, selectors.EVENT_READ, container)

    def _report_end(self, container: Container) -> None:
        self._done[container.id] = self._clock()
        if container.spec.labels["kind"] == INSTANCE:
            self._engine.remove_endpoint(container.spec.app, container.id)
        deadline = time.monotonic() + _EXIT_STATUS_SECONDS
        while time.monotonic() < deadline:
            now = self._engine.containers.state(container.id)
            if now is None or now.status is not Status.RUNNING:
                break
            time.sleep(_POLL_SECONDS)
        self._ended(container)

    def _forget(self, id: str) -> None:
        fd = self._watched.pop(id, None)
        if fd is not None:
            self._selector.unregister(fd)
            os.close(fd)
