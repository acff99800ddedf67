"""Cron jobs, and runs: each run is one command in its own instance."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q

from portal.apps.models import App


class CronJob(models.Model):
    """A [[cron]] entry of the live release's manifest. Replaced when another release becomes
    live."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="cron_jobs")
    name = models.CharField(max_length=63)
    schedule = models.CharField(max_length=600)  # five fields of crontab(5)
    timezone = models.CharField(max_length=100)
    command = models.TextField()
    overlap = models.CharField(max_length=10)  # skip, allow or replace
    timeout = models.FloatField()  # seconds
    sizes = models.JSONField(default=dict)  # cpu, memory, disk, pids, each a number or null
    # the worker that changes it creates the run for that time
    next_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("app", "name"), name="one_cron_job_a_name"),)
        ordering = ("name",)


class RunState(models.TextChoices):
    QUEUED = "queued", "Waits"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"  # the previous run had not ended
    # replaced by a newer run, stopped by a person, or the app was deleted
    STOPPED = "stopped", "Stopped"

    @property
    def is_over(self) -> bool:
        """Return True if the state cannot change any more."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


class RunKind(models.TextChoices):
    CRON = "cron", "Cron job"
    POSTDEPLOY = "postdeploy", "Post-deploy script"
    COMMAND = "command", "Command"  # of a person, by `slipway run`, the API or the portal


class Run(models.Model):
    """A command that runs once. `started_at` is the start of its container, not of the worker's
    task."""

    app = models.ForeignKey(App, on_delete=models.CASCADE, related_name="runs")
    release = models.ForeignKey("releases.Release", on_delete=models.CASCADE, related_name="runs")
    kind = models.CharField(max_length=10, choices=RunKind.choices)
    name = models.CharField(max_length=63)  # the name of its job, postdeploy, or run
    command = models.TextField()
    timeout = models.FloatField()  # seconds
    sizes = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=RunState.choices, default=RunState.QUEUED)
    reason = models.TextField(blank=True)
    # the scheduled time; null if started by a person or a deploy
    scheduled_for = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # of its process, 128 + N if signal N ended it; null if it has not ended by itself
    exit_code = models.IntegerField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("app", "name", "scheduled_for"),
                condition=Q(kind="cron"),
                name="one_run_a_tick",
            ),
            models.UniqueConstraint(
                fields=("app",),
                condition=Q(kind="postdeploy", state__in=("queued", "running")),
                name="one_open_postdeploy_an_app",
            ),
        )
        indexes = (
            models.Index(fields=("app", "-id"), name="runs_of_an_app"),
            models.Index(
                fields=("state",), condition=Q(state__in=("queued", "running")), name="open_runs"
            ),
        )

    @property
    def shown(self) -> str:
        """Return the state in the vocabulary of the pages, where `succeeded` means a successful
        build."""
        return "done" if self.state == RunState.SUCCEEDED else self.state

    @property
    def can_stop(self) -> bool:
        """Return True if it is queued or running."""
        return not RunState(self.state).is_over

    @property
    def can_run_again(self) -> bool:
        """Return True for a post-deploy script that failed or was stopped. Jobs have Run now
        instead."""
        return self.kind == RunKind.POSTDEPLOY and self.state in (RunState.FAILED, RunState.STOPPED)

    @property
    def took(self) -> timedelta | None:
        """Return the time from its start to its end."""
        return (
            self.finished_at - self.started_at
            if self.finished_at is not None and self.started_at is not None
            else None
        )

    @property
    def source(self) -> str:
        """Return the source name of its lines in the app's log."""
        if self.kind == RunKind.COMMAND:
            return f"run.{self.pk}"
        return f"cron.{self.name}" if self.kind == RunKind.CRON else self.name
