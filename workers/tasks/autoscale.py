"""The task that scales autoscaled apps by the supervisor's samples.

`portal.traffic.autoscale` makes the decision.
"""

from __future__ import annotations

import logging
import time
from functools import cache

import redis
from django.conf import settings

from portal.apps.models import Instance, InstanceState, ProcessFormation
from portal.quotas.access import quota_of
from portal.traffic.access import WEB
from portal.traffic.autoscale import Sample, ScalingBounds, Target, decide
from portal.traffic.models import TrafficSettings
from portal.traffic.scaling import autoscale
from workers.celery import app as celery
from workers.store import demand

log = logging.getLogger(__name__)


@celery.task(name="slipway.autoscale")
def autoscale_all() -> None:
    """Decide for every autoscaled app that has a release, and scale it."""
    rows = list(
        TrafficSettings.objects.filter(autoscale=True, app__deleted_at=None)
        .exclude(app__current_release=None)
        .select_related("app")
    )
    try:
        samples = demand.samples_of(_client(), [row.app.handle for row in rows])
    except redis.RedisError as error:
        log.warning("Autoscaling is paused, because Redis does not answer: %s", error)
        return
    for row in rows:
        _autoscale(row, samples[row.app.handle])


def _autoscale(row: TrafficSettings, samples: list[Sample]) -> None:
    web = ProcessFormation.objects.filter(app=row.app, process=WEB).first()
    if web is None or Instance.objects.filter(app=row.app, state=InstanceState.ASLEEP).exists():
        return  # a sleeping app has no load to measure
    wish = ScalingBounds(
        target=Target(row.autoscale_target),
        value=row.autoscale_value,
        least=row.autoscale_least,
        most=row.autoscale_most,
        cpu=min(web.cpu, quota_of(row.app.team).cpu_per_instance),
    )
    found = decide(samples, wish, time.time(), web.count)
    if found.count != web.count:
        autoscale(row.app, count=found.count, reason=found.reason)


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_CLIENT_URL, socket_connect_timeout=1, socket_timeout=2
    )
