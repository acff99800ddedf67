"""The only place that enqueues: a task by its name, with ids as arguments, once the transaction has committed.

A pure Celery client: it imports nothing of the workers. When Redis is down the rows are committed already; the failure is
logged, and the upkeep schedule takes up every row that is still waiting. So a request never fails for want of a broker.
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
    """Every task the portal asks for. Arguments are row ids."""

    BUILD = "slipway.build"  # build id
    ROLL_OUT = "slipway.roll_out"  # rollout id
    CONVERGE = "slipway.converge"  # app id
    REMOVE_APP = "slipway.remove_app"  # app id
    UPGRADE_STACK = "slipway.upgrade_stack"  # app id, and of the person who asked
    APPLY_QUOTA = "slipway.apply_quota"  # team id
    TEND_RUNS = "slipway.tend_runs"  # app id
    IMAGE_JOB = "slipway.image_job"  # image job id
    CHECK_DOMAIN = "slipway.check_domain"  # domain id
    TEND_CERTIFICATE = "slipway.tend_certificate"  # domain id
    TEND_DOMAINS = "slipway.tend_domains"  # all of them


_OF_BUILDS = (Task.BUILD, Task.UPGRADE_STACK)
_UPKEEP = (Task.CHECK_DOMAIN, Task.TEND_CERTIFICATE, Task.TEND_DOMAINS)
QUEUES = {task: "build" if task in _OF_BUILDS else "upkeep" if task in _UPKEEP else "node" for task in Task}

_ONE_MORE_TRY = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}  # no request waits for an absent broker


def client_of(broker: str) -> Celery:
    """A Celery application that only sends."""
    celery = Celery("portal", broker=broker, set_as_current=False)
    celery.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_publish_retry_policy=_ONE_MORE_TRY,
        broker_transport_options={"socket_connect_timeout": 1, "socket_timeout": 2, **_ONE_MORE_TRY},
    )
    return celery


client = client_of(settings.BROKER_URL)


def enqueue(task: Task, *ids: int) -> None:
    """Hand a task to the workers when the current transaction commits; at once when there is none."""
    transaction.on_commit(partial(_send, task, ids))


def _send(task: Task, ids: tuple[int, ...]) -> None:
    try:
        client.send_task(task.value, args=list(ids), queue=QUEUES[task], ignore_result=True)
    except (OperationalError, OSError) as error:
        log.warning("%s%s waits for upkeep, the broker did not answer: %s", task, ids, error)
