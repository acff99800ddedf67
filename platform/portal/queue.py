"""Enqueue tasks; no other module of the portal does. A task is sent by name, with ids, after the
transaction has committed.

This is only a Celery client and imports nothing of the workers. If Redis is not available, the rows
are already committed and the failure is logged. The upkeep schedule later picks up every waiting
row. So a request never fails because of the broker.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from functools import partial

from celery import Celery
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


class Task(StrEnum):
    """All tasks that the portal enqueues. The arguments are row ids."""

    BUILD = "slipway.build"  # build id
    ROLL_OUT = "slipway.roll_out"  # rollout id
    CONVERGE = "slipway.converge"  # app id
    REMOVE_APP = "slipway.remove_app"  # app id
    UPGRADE_STACK = "slipway.upgrade_stack"  # app id, and id of the person who requested it
    MAKE_GZIP_COPY = "slipway.make_gzip_copy"  # release id
    APPLY_QUOTA = "slipway.apply_quota"  # team id
    UPDATE_RUNS = "slipway.tend_runs"  # app id
    IMAGE_JOB = "slipway.image_job"  # image job id
    VOLUME_JOB = "slipway.volume_job"  # volume job id
    REMOVE_VOLUMES = "slipway.remove_volumes"  # no arguments: all whose data is to be deleted
    CHECK_DOMAIN = "slipway.check_domain"  # domain id
    UPDATE_CERTIFICATE = "slipway.tend_certificate"  # domain id
    UPDATE_DOMAINS = "slipway.tend_domains"  # no arguments: for all domains
    COLLECT_GARBAGE = "slipway.collect_garbage"  # id of the person who requested it


_OF_BUILDS = (Task.BUILD, Task.UPGRADE_STACK, Task.MAKE_GZIP_COPY)
_UPKEEP = (
    Task.CHECK_DOMAIN,
    Task.UPDATE_CERTIFICATE,
    Task.UPDATE_DOMAINS,
    Task.COLLECT_GARBAGE,
)
QUEUES = {
    task: "build" if task in _OF_BUILDS else "upkeep" if task in _UPKEEP else "node"
    for task in Task
}

# requests do not wait for an unavailable broker
_ONE_MORE_TRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}


def client_of(broker: str) -> Celery:
    """Return a Celery application that only sends tasks."""
    celery = Celery("portal", broker=broker, set_as_current=False)
    celery.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_publish_retry_policy=_ONE_MORE_TRY,
        broker_transport_options={
            "socket_connect_timeout": 1,
            "socket_timeout": 2,
            **_ONE_MORE_TRY,
        },
    )
    return celery


client = client_of(settings.BROKER_URL)


def enqueue(task: Task, *ids: int) -> None:
    """Send a task when the current transaction commits, or immediately if there is none."""
    transaction.on_commit(partial(_send, task, ids))


def _send(task: Task, ids: tuple[int, ...]) -> None:
    try:
        client.send_task(task.value, args=list(ids), queue=QUEUES[task], ignore_result=True)
    except (OperationalError, OSError) as error:
        log.warning(
            "%s%s waits for the upkeep schedule, because the broker did not answer: %s",
            task,
            ids,
            error,
        )
