"""What is done by the clock. Each entry may be missed or come twice without harm."""

from __future__ import annotations

SCHEDULE = {
    "take up what was lost": {"task": "slipway.take_up_lost", "schedule": 5.0, "options": {"queue": "upkeep", "expires": 5}},
    "start what is due": {"task": "slipway.tick", "schedule": 5.0, "options": {"queue": "upkeep", "expires": 5}},
    "scale by load": {"task": "slipway.autoscale", "schedule": 2.0, "options": {"queue": "upkeep", "expires": 2}},
    "tend domains": {"task": "slipway.tend_domains", "schedule": 15.0, "options": {"queue": "upkeep", "expires": 15}},
    "tidy up": {"task": "slipway.tidy_up", "schedule": 3600.0, "options": {"queue": "upkeep", "expires": 600}},
    "collect garbage": {"task": "slipway.collect_garbage", "schedule": 3600.0, "options": {"queue": "upkeep", "expires": 600}},
    "watch the disk": {"task": "slipway.watch_disk", "schedule": 60.0, "options": {"queue": "upkeep", "expires": 30}},
    "publish images": {"task": "slipway.publish_images", "schedule": 60.0, "options": {"queue": "upkeep", "expires": 30}},
}
CONVERGE_ALL = 10.0  # seconds between two looks at every app, by the supervisor
RECONCILE_ROUTER = 10.0
SAMPLE_USAGE = 2.0
SAMPLE_DEMAND = 2.0
CHECK_HEALTH = 1.0  # how late a health check that is due begins at most
SHIP_LOGS = 0.25
LOOK_AT_PRESSURE = 0.5
KEEP_RESERVE = 0.5
COUNT_REQUESTS = 1.0
LOOK_UP_NAMES = 30.0  # where the hosts of teams' allow lists lead
KEEP_SERIES = 10.0  # one point of an app's charts
