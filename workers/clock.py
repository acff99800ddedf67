"""The scheduler (Celery beat) as a thread of the worker that serves the `upkeep` queue.

Celery's own option (`-B`) forks a process for it. That process takes 60 MB, and it keeps running
as an orphan when the worker is killed.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.beat import EmbeddedService


class Clock(bootsteps.StartStopStep):
    """Boot step that starts and stops the scheduler with the worker.

    See docs.celeryq.dev, "Extensions and bootsteps".
    """

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: Any) -> bool:
        return "upkeep" in parent.app.amqp.queues.consume_from

    def create(self, parent: Any) -> Any:
        return EmbeddedService(
            parent.app, thread=True, scheduler_cls=parent.app.conf.beat_scheduler
        )
