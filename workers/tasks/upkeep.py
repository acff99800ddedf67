"""Upkeep tasks: send lost work again (its worker or its message was lost), and delete old data."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from portal.apps.models import App, Instance, InstanceState
from portal.builds.models import Build, BuildState
from portal.images.models import ImageJob, JobState
from portal.jobs.actions import forget_old
from portal.releases.access import OPEN
from portal.releases.models import Rollout
from portal.traffic import sleep_history
from portal.volumes.access import due_for_removal
from portal.volumes.models import JobState as VolumeJobState
from portal.volumes.models import VolumeJob
from runtime import journal
from runtime.engines.node import NodeEngine
from runtime.images.disk import disk_of
from workers import node
from workers.celery import app as celery
from workers.store import clean_ups
from workers.tasks import build, garbage_collection, images, rollout, volumes

log = logging.getLogger(__name__)

LATE = timedelta(seconds=10)  # a message that no worker received by then may be lost
AGAIN_AFTER = 60.0  # seconds until the same task is sent again: it may only wait in a long queue
KEPT_INSTANCES = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A row that no worker handles, in the state in which it was found."""

    task: str
    row: int
    state: str


_sent_at: dict[Lost, float] = {}


@celery.task(name="slipway.take_up_lost")
def send_lost_tasks_again() -> None:
    """Send the tasks of lost rows again."""
    engine, now = node.engine(), time.monotonic()
    for lost in (
        *_lost_builds(engine),
        *_lost_rollouts(engine),
        *_lost_removals(),
        *_lost_image_jobs(engine),
        *_lost_volume_jobs(engine),
    ):
        if now - _sent_at.get(lost, -AGAIN_AFTER) >= AGAIN_AFTER:
            _sent_at[lost] = now
            celery.send_task(lost.task, [lost.row])
    _remove_lost_release_phases(engine)
    if due_for_removal().exists():  # at once, or as soon as no instance uses them any more
        celery.send_task("slipway.remove_volumes", expires=5)
    for woken in (*engine.containers.wake_forgotten(), *engine.volumes.thaw_forgotten()):
        log.warning("%s", woken)
    for lost in [lost for lost, at in _sent_at.items() if now - at > 10 * AGAIN_AFTER]:
        del _sent_at[lost]


@celery.task(name="slipway.tidy_up")
def tidy_up() -> None:
    """Delete old rows and locks, and write missing rows of images.

    Old rows are those of stopped instances, runs, sleep periods and jobs.
    """
    Instance.objects.filter(
        state=InstanceState.STOPPED, stopped_at__lt=timezone.now() - KEPT_INSTANCES
    ).delete()
    forget_old()
    sleep_history.forget_old(timezone.now())
    engine = node.engine()
    engine.images.sweep()
    images.remove_old_jobs(engine)
    images.write_missing_image_rows(engine)
    volumes.tidy_up(engine)
    under_way = set(
        Build.objects.filter(state__in=(BuildState.QUEUED, BuildState.BUILDING)).values_list(
            "pk", flat=True
        )
    )
    for path in engine.config.locks.glob("build-*"):
        if (
            path.name.removeprefix("build-").isdecimal()
            and int(path.name.removeprefix("build-")) not in under_way
        ):
            path.unlink(missing_ok=True)


@celery.task(name="slipway.collect_garbage")
def collect_garbage(person_id: int = 0) -> None:
    """Remove images, layers, cached steps and sources that nothing needs. An admin may have
    requested it."""
    clean_ups.finish(person_id, garbage_collection.collect(node.engine()))


@celery.task(name="slipway.watch_disk")
def watch_disk() -> None:
    """Record the use of volumes. Collect garbage at once when the disk is nearly full."""
    engine = node.engine()
    volumes.record_use(engine)
    if disk_of(engine.config).percent >= engine.config.disk_high:
        garbage_collection.collect(engine)


def _lost_builds(engine: NodeEngine) -> Iterator[Lost]:
    late = timezone.now() - LATE
    for row in Build.objects.filter(state=BuildState.QUEUED, created_at__lt=late).values_list(
        "pk", flat=True
    ):
        yield Lost(task="slipway.build", row=row, state="queued")
    for row in Build.objects.filter(state=BuildState.BUILDING).values_list("pk", flat=True):
        if _is_free(build.lock_of(row, engine)):
            yield Lost(task="slipway.build", row=row, state="building")


def _lost_rollouts(engine: NodeEngine) -> Iterator[Lost]:
    late = timezone.now() - LATE
    for row in Rollout.objects.filter(state__in=OPEN, created_at__lt=late).select_related(
        "release__app"
    ):
        if _is_free(rollout.lock_of(row.release.app.handle, engine)):
            yield Lost(task="slipway.roll_out", row=row.pk, state=row.state)


def _lost_removals() -> Iterator[Lost]:
    for row in App.objects.filter(deleted_at__lt=timezone.now() - LATE).values_list(
        "pk", flat=True
    ):
        yield Lost(task="slipway.remove_app", row=row, state="deleted")


def _lost_image_jobs(engine: NodeEngine) -> Iterator[Lost]:
    late = ImageJob.objects.filter(
        state=JobState.QUEUED, created_at__lt=timezone.now() - LATE
    ).values_list("pk", flat=True)
    for row in images.jobs_without_worker(engine, late):
        yield Lost(task="slipway.image_job", row=row, state="open")


def _lost_volume_jobs(engine: NodeEngine) -> Iterator[Lost]:
    late = VolumeJob.objects.filter(
        state=VolumeJobState.QUEUED, created_at__lt=timezone.now() - LATE
    ).values_list("pk", flat=True)
    for row in volumes.jobs_without_worker(engine, late):
        yield Lost(task="slipway.volume_job", row=row, state="open")


def _remove_lost_release_phases(engine: NodeEngine) -> None:
    for app_name in {container.spec.app for container in engine.release_phases.containers_of_all()}:
        with journal.lock(rollout.lock_of(app_name, engine), blocking=False) as held:
            if held:
                engine.release_phases.remove(app_name)


def _is_free(path: Path) -> bool:
    with journal.lock(path, blocking=False) as held:
        return held
