"""The sign of life of a worker process, for the admin page."""

from __future__ import annotations

import logging
import time
from typing import Any

import msgspec
import redis
from celery import bootsteps
from celery.worker import state
from django.conf import settings

from portal.metrics.node import WORKER_EXPIRY, WORKER_KEY, WorkerSample

log = logging.getLogger(__name__)
BEAT = 5.0  # seconds


class Heartbeat(bootsteps.StartStopStep):
    """Boot step that writes a sample of the worker every BEAT seconds.

    It runs in the loop that also receives tasks. So a worker that does not receive tasks writes no
    sample.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, _parent: Any, **_: Any) -> None:
        self._client = redis.Redis.from_url(
            settings.REDIS_CLIENT_URL, socket_connect_timeout=1, socket_timeout=2
        )
        self._timer: Any = None
        self._has_warned = False

    def start(self, parent: Any) -> None:
        self._beat(parent)
        self._timer = parent.timer.call_repeatedly(BEAT, self._beat, (parent,))

    def stop(self, _parent: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self, parent: Any) -> None:
        sample = WorkerSample(
            at=time.time(), tasks=len(state.active_requests), at_once=parent.pool.num_processes
        )
        name = parent.hostname.rpartition("@")[2]  # Celery makes celery@worker-node of worker-node
        try:
            self._client.set(WORKER_KEY % name, msgspec.json.encode(sample), ex=WORKER_EXPIRY)
        except redis.RedisError as error:
            if not self._has_warned:
                log.warning("The admin page shows this worker as silent: %s", error)
            self._has_warned = True
        else:
            self._has_warned = False
