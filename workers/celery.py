"""The Celery app: three queues on Redis, JSON only.

A task is delivered again if its worker is lost.

    build     turns sources into images
    node      rolls out, reconciles, removes; quick, and never queued behind a build
    upkeep    sends lost tasks again, and cleans up

Workers use a pool of threads: nothing forks, and all tasks of a process share its sockets and
caches.
"""

from __future__ import annotations

import logging
import os
import warnings

from celery import Celery
from celery.exceptions import SecurityWarning
from kombu import Exchange, Queue

# Set before the app is created: Celery's Django fix-up reads it.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

from django.conf import settings  # see above

from workers.clock import Clock  # see above
from workers.heartbeat import Heartbeat  # see above
from workers.schedules import SCHEDULE  # see above

# Seconds until Redis delivers an unfinished task again. The upkeep task finds lost work much
# sooner.
LONGEST_TASK = 2 * 3600

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
    task_acks_on_failure_or_timeout=True,  # the row records a failure; a retry would not help
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_queues=tuple(
        Queue(name, Exchange(name), routing_key=name) for name in ("build", "node", "upkeep")
    ),
    task_default_queue="upkeep",
    task_routes={
        "slipway.build": {"queue": "build"},
        "slipway.upgrade_stack": {"queue": "build"},
        "slipway.make_gzip_copy": {"queue": "build"},
        "slipway.roll_out": {"queue": "node"},
        "slipway.converge": {"queue": "node"},
        "slipway.instance_ended": {"queue": "node"},
        "slipway.remove_app": {"queue": "node"},
        "slipway.apply_quota": {"queue": "node"},
        "slipway.tend_runs": {"queue": "node"},
        "slipway.runs_ended": {"queue": "node"},
        "slipway.image_job": {"queue": "node"},
        "slipway.volume_job": {"queue": "node"},
        "slipway.remove_volumes": {"queue": "node"},
    },
    broker_connection_retry_on_startup=True,
    # Redis refuses writes while its disk is full: reconnect until it accepts them.
    broker_channel_error_retry=True,
    broker_transport_options={"visibility_timeout": LONGEST_TASK, "socket_connect_timeout": 2},
    worker_enable_remote_control=False,  # unused, and it costs a connection and a thread
    worker_send_task_events=False,
    worker_hijack_root_logger=False,  # Django's logging settings apply here too
    beat_schedule=SCHEDULE,
    # In memory: an entry may run a little early after a restart.
    beat_scheduler="celery.beat:Scheduler",
    timezone="UTC",
)
app.steps["worker"].add(Clock)
app.steps["consumer"].add(Heartbeat)

# The workers run as root because of their system calls. Messages are JSON, never pickle.
warnings.filterwarnings("ignore", category=SecurityWarning)
for _name in ("celery.app.trace", "celery.worker.strategy", "celery.beat"):
    # They log two useless lines per app and round.
    logging.getLogger(_name).setLevel(logging.WARNING)
