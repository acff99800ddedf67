"""The clock of the schedule, as a thread of whichever worker serves `upkeep`.

Celery's own way (`-B`) forks a process for it: sixty megabytes, and an orphan that goes on ticking when the worker is killed.
"""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.beat import EmbeddedService


class Clock(bootsteps.StartStopStep):
    """Starts and stops with the worker (docs.celeryq.dev, "Extensions and bootsteps")."""

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: Any) -> bool:
        return "upkeep" in parent.app.amqp.queues.consume_from

    def create(self, parent: Any) -> Any:
        return EmbeddedService(parent.app, thread=True, scheduler_cls=parent.app.conf.beat_scheduler)
