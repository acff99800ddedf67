"""Change cron jobs and runs: the schedule or a person creates a run, and workers execute it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from portal import events
from portal.accounts.access import require_member
from portal.accounts.models import Person
from portal.activity import audit
from portal.apps.models import App
from portal.errors import Conflict, ValueRefused
from portal.jobs.access import OPEN
from portal.jobs.models import CronJob, Run, RunKind, RunState
from portal.jobs.schedule import next_after
from portal.queue import Task, enqueue
from portal.quotas import decision
from portal.quotas.app_lock import lock_app
from portal.releases.actions import add_step
from portal.releases.models import Release, Rollout, RolloutState

COMMAND = "run"  # the name of runs of commands
LONGEST_COMMAND = 8192  # characters
LONGEST_RUN = 86400.0  # seconds
USUAL_TIMEOUT = 3600.0  # seconds of a command whose person did not choose
MOST_OPEN = 20  # queued or running, per app
KEPT = 50  # per app and name
KEPT_FOR = timedelta(days=30)

_BEFORE = {
    RunState.RUNNING: (RunState.QUEUED,),
    RunState.SUCCEEDED: (RunState.RUNNING,),
    RunState.FAILED: OPEN,
    RunState.STOPPED: OPEN,
}


@transaction.atomic
def tick(job: CronJob, now: datetime) -> Run | None:
    """Create the run that is due, and set the job's next time. Missed runs are combined into one.

    Return None if another worker was first.
    """
    following = next_after(job.schedule, job.timezone, now)
    if CronJob.objects.filter(pk=job.pk, next_at=job.next_at).update(next_at=following) == 0:
        return None
    app = (
        App.objects.select_related("current_release").filter(pk=job.app_id, deleted_at=None).first()
    )
    if app is None or app.current_release is None:
        return None
    try:
        with transaction.atomic():
            return _make_run(job, app, app.current_release, scheduled_for=job.next_at)
    except (
        IntegrityError
    ):  # this time already had its run, before the job was replaced by one with the same schedule
        return None


@transaction.atomic
def run_now(actor: Person, *, app: App, job: CronJob) -> Run:
    """Run a job now. Its overlap rule applies."""
    require_member(actor, app.team)
    app = lock_app(app)
    if app.current_release is None:
        raise Conflict(f"{app.name} has no live release.", hint="Deploy it first.")
    if (
        job.overlap == "skip"
        and Run.objects.filter(app=app, kind=RunKind.CRON, name=job.name, state__in=OPEN).exists()
    ):
        raise Conflict(
            f"{job.name} is already running.",
            hint='Wait for it to end, or set overlap = "allow" for the job.',
        )
    if Run.objects.filter(app=app, state__in=OPEN).count() >= MOST_OPEN:
        raise Conflict(
            f"{app.name} already has {MOST_OPEN} open runs.", hint="Wait until one has ended."
        )
    audit.record(actor, f"ran the cron job {job.name}", app=app)
    return _make_run(job, app, app.current_release, actor=actor)


@transaction.atomic
def run_command(actor: Person, *, app: App, command: str, timeout: float) -> Run:
    """Run a command once, in its own instance of the live release."""
    require_member(actor, app.team)
    app = lock_app(app)
    if not command.strip() or len(command) > LONGEST_COMMAND or "\0" in command:
        raise ValueRefused(
            "This is not a command.",
            hint=f"Write 1 to {LONGEST_COMMAND:,} characters, without NUL.",
            field="command",
        )
    if not 1 <= timeout <= LONGEST_RUN:
        raise ValueRefused(
            f"A run takes 1 to {LONGEST_RUN:g} seconds.",
            hint="Choose a timeout in this range.",
            field="timeout",
        )
    if app.current_release is None:
        raise Conflict(f"{app.name} has no live release.", hint="Deploy it first.")
    if Run.objects.filter(app=app, state__in=OPEN).count() >= MOST_OPEN:
        raise Conflict(
            f"{app.name} already has {MOST_OPEN} open runs.", hint="Wait until one has ended."
        )
    run = Run.objects.create(
        app=app,
        release=app.current_release,
        kind=RunKind.COMMAND,
        name=COMMAND,
        command=command,
        timeout=timeout,
        created_by=actor,
    )
    # without the command, which can contain a secret: the list of runs has it
    audit.record(actor, f"ran a command as {run.source}", app=app)
    enqueue(Task.UPDATE_RUNS, app.pk)
    events.announce(app.name, events.EventKind.RUN)
    return run


@transaction.atomic
def stop(actor: Person, *, app: App, run: Run) -> None:
    """Stop a queued or running run. Its state changes immediately.

    A worker then stops its container, by SIGTERM, and by SIGKILL after a while.
    """
    require_member(actor, app.team)
    if not finish(run, RunState.STOPPED, f"{actor.username} stopped it."):
        raise Conflict(
            f"Run {run.pk} of {run.source} has already ended.", hint="Check its outcome."
        )
    audit.record(actor, f"stopped run {run.pk} of {run.source}", app=app)
    enqueue(Task.UPDATE_RUNS, app.pk)


@transaction.atomic
def run_again(actor: Person, *, app: App, run: Run) -> Run:
    """Retry the app's post-deploy script after it failed or was stopped, with the script of the
    live release."""
    require_member(actor, app.team)
    app = lock_app(app)
    last = Run.objects.filter(app=app, kind=RunKind.POSTDEPLOY).order_by("-id").first()
    if run.kind != RunKind.POSTDEPLOY:
        raise Conflict(
            f"Run {run.pk} belongs to the cron job {run.name}.",
            hint="Use Run now of the job instead.",
        )
    if last is None or last.pk != run.pk or not last.can_run_again:
        raise Conflict(
            "The post-deploy script has not failed, or is already running again.",
            hint="Check its last run.",
        )
    declared = app.current_release.declared.postdeploy if app.current_release is not None else None
    if app.current_release is None or declared is None or not declared.command:
        raise Conflict(
            f"The live release of {app.name} has no post-deploy script.",
            hint="Deploy a release that has one.",
        )
    audit.record(actor, "retried the post-deploy script", app=app)
    again = Run.objects.create(
        app=app,
        release=app.current_release,
        kind=RunKind.POSTDEPLOY,
        name=run.name,
        command=declared.command,
        timeout=declared.timeout,
        created_by=actor,
    )
    enqueue(Task.UPDATE_RUNS, app.pk)
    events.announce(app.name, events.EventKind.RUN)
    return again


@transaction.atomic
def assign_to_worker(run: Run, *, most: int) -> bool:
    """Assign a run to a worker, unless `most` runs of its team are running. Return False then, or
    if the run has ended."""
    decision.lock(run.app.team)
    if Run.objects.filter(app__team=run.app.team_id, state=RunState.RUNNING).count() >= most:
        return False
    return _move(run, RunState.RUNNING)


@transaction.atomic
def mark_started(run: Run) -> None:
    """Record that the run's container was started."""
    Run.objects.filter(pk=run.pk, started_at=None).update(started_at=timezone.now())
    events.announce(run.app.name, events.EventKind.RUN)


@transaction.atomic
def finish(run: Run, state: RunState, reason: str = "", *, exit_code: int | None = None) -> bool:
    """Record the end of a run. Return False if it had already ended."""
    ended = {"reason": reason, "finished_at": timezone.now(), "exit_code": exit_code}
    if not _move(run, state, **ended):
        return False
    if run.kind == RunKind.POSTDEPLOY:
        _record_in_timeline(run, state, reason)
    elif state == RunState.FAILED and run.kind == RunKind.CRON:
        audit.record(None, f"cron job {run.name} failed: {reason}", app=run.app)
    return True


@transaction.atomic
def stop_all(app: App, reason: str) -> None:
    """Stop all runs of an app."""
    Run.objects.filter(app=app, state__in=OPEN).update(
        state=RunState.STOPPED, reason=reason, finished_at=timezone.now()
    )


def forget_old() -> None:
    """Delete old finished runs of jobs and commands, and all but the last few of each."""
    over = Run.objects.exclude(state__in=OPEN).exclude(kind=RunKind.POSTDEPLOY)
    over.filter(finished_at__lt=timezone.now() - KEPT_FOR).delete()
    for app, name in over.order_by().values_list("app", "name").distinct():
        kept = over.filter(app=app, name=name).order_by("-id").values_list("pk", flat=True)
        if (border := kept[KEPT : KEPT + 1].first()) is not None:
            over.filter(app=app, name=name, pk__lte=border).delete()


def _make_run(
    job: CronJob,
    app: App,
    release: Release,
    *,
    scheduled_for: datetime | None = None,
    actor: Person | None = None,
) -> Run:
    open_ones = Run.objects.filter(app=app, kind=RunKind.CRON, name=job.name, state__in=OPEN)
    skipped = ""
    if job.overlap == "replace":
        open_ones.update(
            state=RunState.STOPPED, reason="The next run replaced it.", finished_at=timezone.now()
        )
    elif job.overlap == "skip" and open_ones.exists():
        skipped = "The previous run had not ended."
    if not skipped and Run.objects.filter(app=app, state__in=OPEN).count() >= MOST_OPEN:
        skipped = f"The app already had {MOST_OPEN} open runs."
    run = Run.objects.create(
        app=app,
        release=release,
        kind=RunKind.CRON,
        name=job.name,
        command=job.command,
        timeout=job.timeout,
        sizes=job.sizes,
        state=RunState.SKIPPED if skipped else RunState.QUEUED,
        reason=skipped,
        scheduled_for=scheduled_for,
        created_by=actor,
        finished_at=timezone.now() if skipped else None,
    )
    enqueue(Task.UPDATE_RUNS, app.pk)
    events.announce(app.name, events.EventKind.RUN)
    return run


def _move(run: Run, state: RunState, **values: object) -> bool:
    """Change the state by compare and swap. Losing the race is normal."""
    moved = (
        Run.objects.filter(pk=run.pk, state__in=_BEFORE[state]).update(state=state, **values) == 1
    )
    if moved:
        events.announce(run.app.name, events.EventKind.RUN)
    return moved


def _record_in_timeline(run: Run, state: RunState, reason: str) -> None:
    verb = {RunState.SUCCEEDED: "succeeded", RunState.STOPPED: "was stopped"}.get(state, "failed")
    words = (
        f"The post-deploy script {verb}. {reason}" if reason else f"The post-deploy script {verb}"
    )
    audit.record(None, words, app=run.app)
    rollout = (
        Rollout.objects.filter(release=run.release_id, state=RolloutState.LIVE)
        .order_by("-pk")
        .first()
    )
    if rollout is not None:
        add_step(rollout, words.partition("\n")[0])
