"""Read cron jobs and runs. Other modules get them only from here."""

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
    """A cron job with its last run, or None before the first run."""

    job: CronJob
    last: Run | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """The jobs and runs that an app's page shows."""

    lines: list[JobLine]
    runs: list[Run]
    again: int | None  # the id of the post-deploy script's last run, if it may be retried


def crons_of(app: App) -> QuerySet[CronJob]:
    """Return all cron jobs of the live release, by name."""
    return CronJob.objects.filter(app=app)


def cron_for(app: App, name: str) -> CronJob:
    """Return a cron job by name. Raise NotFound otherwise."""
    job = crons_of(app).filter(name=name).first()
    if job is None:
        raise NotFound(
            f"{app.name} has no cron job {name}.",
            hint="Define cron jobs as [[cron]] in slipway.toml and deploy.",
        )
    return job


def runs_of(app: App) -> QuerySet[Run]:
    """Return all stored runs, newest first."""
    return Run.objects.filter(app=app).select_related("release", "created_by").order_by("-id")


def open_runs(app: App) -> QuerySet[Run]:
    """Return the runs that wait or run, oldest first."""
    return Run.objects.filter(app=app, state__in=OPEN).select_related("release").order_by("id")


def run_for(app: App, id: int) -> Run:
    """Return a run by its number. Raise NotFound if it belongs to another app or was deleted."""
    run = runs_of(app).filter(pk=id).first()
    if run is None:
        raise NotFound(
            f"{app.name} has no run {id}.",
            hint="Check the list of its runs. Old runs are deleted after a while.",
        )
    return run


def jobs_of(app: App) -> Jobs:
    """Return the current jobs and runs."""
    last = postdeploy_of(app)
    lines = [
        JobLine(job=job, last=runs_of(app).filter(kind="cron", name=job.name).first())
        for job in crons_of(app)
    ]
    return Jobs(
        lines=lines, runs=list(runs_of(app)[:SHOWN]), again=last.pk if last is not None else None
    )


def postdeploy_of(app: App) -> Run | None:
    """Return the last run of the post-deploy script."""
    return runs_of(app).filter(kind="postdeploy").first()
