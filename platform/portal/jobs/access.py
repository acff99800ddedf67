"""The only way to jobs and runs."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from portal.apps.models import App
from portal.errors import NotFound
from portal.jobs.models import CronJob, Run, RunState

OPEN = tuple(state for state in RunState if not state.is_over)
SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLine:
    """A job with its last run, None before the first."""

    job: CronJob
    last: Run | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """What an app's page shows of its jobs."""

    lines: list[JobLine]
    runs: list[Run]
    again: int | None  # the run of the post-deploy script that may be run again: its last one


def crons_of(app: App) -> QuerySet[CronJob]:
    """All of the live release's, by name."""
    return CronJob.objects.filter(app=app)


def cron_for(app: App, name: str) -> CronJob:
    """One by name."""
    job = crons_of(app).filter(name=name).first()
    if job is None:
        raise NotFound(f"{app.name} has no cron job {name}.", hint="Jobs are written as [[cron]] in slipway.toml, and come with a deploy.")
    return job


def runs_of(app: App) -> QuerySet[Run]:
    """All that are kept, newest first."""
    return Run.objects.filter(app=app).select_related("release", "created_by").order_by("-id")


def open_runs(app: App) -> QuerySet[Run]:
    """Those that wait or go on, oldest first."""
    return Run.objects.filter(app=app, state__in=OPEN).select_related("release").order_by("id")


def run_for(app: App, id: int) -> Run:
    """One by its number. NotFound: another app's, or long forgotten."""
    run = runs_of(app).filter(pk=id).first()
    if run is None:
        raise NotFound(f"{app.name} has no run {id}.", hint="Look at the list of its runs; old ones are forgotten after a while.")
    return run


def jobs_of(app: App) -> Jobs:
    """Look once."""
    last = postdeploy_of(app)
    lines = [JobLine(job=job, last=runs_of(app).filter(kind="cron", name=job.name).first()) for job in crons_of(app)]
    return Jobs(lines=lines, runs=list(runs_of(app)[:SHOWN]), again=last.pk if last is not None else None)


def postdeploy_of(app: App) -> Run | None:
    """The last run of the post-deploy script."""
    return runs_of(app).filter(kind="postdeploy").first()
