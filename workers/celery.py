"""The Celery app: three queues on Redis, JSON only, every task taken up again if its worker is lost.

    build     turn sources into images
    node      roll out, converge, remove; quick, and never behind a build
    upkeep    look for what was lost, and tidy

Workers run with a pool of threads: nothing forks, and one set of sockets and caches serves all tasks of a process.
"""

from __future__ import annotations

import logging
import os
import warnings

from celery import Celery
from celery.exceptions import SecurityWarning
from kombu import Exchange, Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")  # before the app exists: its Django fix-up looks for it

from django.conf import settings  # see above

from workers.clock import Clock  # see above
from workers.schedules import SCHEDULE  # see above

LONGEST_TASK = 2 * 3600  # seconds; a task not done by then is handed out again by Redis (upkeep is far quicker than that)

app = Celery(
    "workers",
    broker=settings.BROKER_URL,
    include=[
        f"workers.tasks.{name}"
        for name in (
            "autoscale",
            "build",
            "certificates",
            "rollout",
            "converge",
            "domains",
            "images",
            "job_runs",
            "publishing",
            "upkeep",
            "upgrade",
        )
    ],
)
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    result_serializer="json",
    task_ignore_result=True,
    task_acks_late=True,
    task_acks_on_failure_or_timeout=True,  # a failure is recorded in its row; trying the same again would not help
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_queues=tuple(Queue(name, Exchange(name), routing_key=name) for name in ("build", "node", "upkeep")),
    task_default_queue="upkeep",
    task_routes={
        "slipway.build": {"queue": "build"},
        "slipway.upgrade_stack": {"queue": "build"},
        "slipway.roll_out": {"queue": "node"},
        "slipway.converge": {"queue": "node"},
        "slipway.instance_ended": {"queue": "node"},
        "slipway.remove_app": {"queue": "node"},
        "slipway.apply_quota": {"queue": "node"},
        "slipway.tend_runs": {"queue": "node"},
        "slipway.runs_ended": {"queue": "node"},
        "slipway.image_job": {"queue": "node"},
    },
    broker_connection_retry_on_startup=True,
    broker_channel_error_retry=True,  # Redis refuses to write while its disk is full: the worker connects again until it does not
    broker_transport_options={"visibility_timeout": LONGEST_TASK, "socket_connect_timeout": 2},
    worker_enable_remote_control=False,  # nobody asks, and it costs a connection and a thread
    worker_send_task_events=False,
    worker_hijack_root_logger=False,  # Django's logging settings hold here too
    beat_schedule=SCHEDULE,
    beat_scheduler="celery.beat:Scheduler",  # in memory: every entry may run a little early after a restart
    timezone="UTC",
)
app.steps["worker"].add(Clock)

warnings.filterwarnings("ignore", category=SecurityWarning)  # root it is, for the kernel's sake; messages are JSON, never pickles
for _name in ("celery.app.trace", "celery.worker.strategy", "celery.beat"):
    logging.getLogger(_name).setLevel(logging.WARNING)  # two lines for each look at each app tell nobody anything
