"""The schedule of the regular tasks and duties.

An entry may be missed or run twice without harm.
"""

from __future__ import annotations

SCHEDULE = {
    "send lost tasks again": {
        "task": "slipway.take_up_lost",
        "schedule": 5.0,
        "options": {"queue": "upkeep", "expires": 5},
    },
    "start due runs": {
        "task": "slipway.tick",
        "schedule": 5.0,
        "options": {"queue": "upkeep", "expires": 5},
    },
    "scale by load": {
        "task": "slipway.autoscale",
        "schedule": 2.0,
        "options": {"queue": "upkeep", "expires": 2},
    },
    "check domains": {
        "task": "slipway.tend_domains",
        "schedule": 15.0,
        "options": {"queue": "upkeep", "expires": 15},
    },
    "delete old data": {
        "task": "slipway.tidy_up",
        "schedule": 3600.0,
        "options": {"queue": "upkeep", "expires": 600},
    },
    "collect garbage": {
        "task": "slipway.collect_garbage",
        "schedule": 3600.0,
        "options": {"queue": "upkeep", "expires": 600},
    },
    "watch the disk": {
        "task": "slipway.watch_disk",
        "schedule": 60.0,
        "options": {"queue": "upkeep", "expires": 30},
    },
    "publish images": {
        "task": "slipway.publish_images",
        "schedule": 60.0,
        "options": {"queue": "upkeep", "expires": 30},
    },
}
CONVERGE_ALL = 10.0  # seconds between two rounds in which the supervisor has every app reconciled
RECONCILE_ROUTER = 10.0
SAMPLE_USAGE = 2.0
SAMPLE_DEMAND = 2.0
CHECK_HEALTH = 1.0  # the longest delay of a health check that is due
SHIP_LOGS = 0.25
LOOK_AT_PRESSURE = 0.5
KEEP_RESERVE = 0.5
COUNT_REQUESTS = 1.0
LOOK_UP_NAMES = 30.0  # resolve the host names in teams' allow lists
KEEP_SERIES = 10.0  # the interval of the points in an app's charts
SAMPLE_NODE = 10.0  # the interval of the samples on the admin page
