"""Apply the jobs of a release that became live: its cron jobs, and the post-deploy script after the
first release."""

from __future__ import annotations

from dataclasses import asdict

from django.utils import timezone

from portal.apps.declared import Declared
from portal.apps.models import App
from portal.jobs.models import CronJob, Run, RunKind
from portal.jobs.schedule import next_after
from portal.queue import Task, enqueue
from portal.releases.models import Release


def adopt_crons(app: App, declared: Declared) -> None:
    """Replace the app's cron jobs. A job with the same schedule keeps its next time."""
    known = {job.name: job for job in CronJob.objects.filter(app=app)}
    wanted = {cron.name: cron for cron in declared.crons}
    CronJob.objects.filter(app=app).exclude(name__in=wanted).delete()
    for name, cron in wanted.items():
        before = known.get(name)
        keeps = before is not None and (before.schedule, before.timezone) == (
            cron.schedule,
            cron.timezone,
        )
        next_at = (
            before.next_at
            if before is not None and keeps
            else next_after(cron.schedule, cron.timezone, timezone.now())
        )
        CronJob.objects.update_or_create(
            app=app, name=name, defaults={**asdict(cron), "next_at": next_at}
        )


def queue_postdeploy(app: App, release: Release, declared: Declared) -> None:
    """Queue the post-deploy script, if this is the app's first live release."""
    if declared.postdeploy.command:
        Run.objects.create(
            app=app,
            release=release,
            kind=RunKind.POSTDEPLOY,
            name=RunKind.POSTDEPLOY.value,
            command=declared.postdeploy.command,
            timeout=declared.postdeploy.timeout,
            created_by=release.created_by,
        )
        enqueue(Task.UPDATE_RUNS, app.pk)
