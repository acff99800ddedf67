"""Tasks of cron jobs and one-off runs, from a run's start to its end.

Nothing here waits. A run's container runs by itself. The next task continues from the rows and the
containers: after the run's end, at its deadline, or on a schedule.
"""

from __future__ import annotations

import logging

from django.utils import timezone

from portal.apps.models import HANDLE, App
from portal.jobs import actions as jobs
from portal.jobs.access import OPEN, open_runs
from portal.jobs.models import CronJob, Run, RunState
from portal.quotas.access import quota_of
from runtime import journal
from runtime.containers.container import Container, Status
from runtime.converge.one_off import RunOrder
from runtime.engines.node import NodeEngine
from runtime.errors import RuntimeFailure
from workers import node
from workers.bridge import translate
from workers.celery import app as celery

log = logging.getLogger(__name__)

AT_ONCE_PER_TEAM = 4


@celery.task(name="slipway.tick")
def tick() -> None:
    """Create the runs that are due, and send a task for each app with runs.

    Several of these tasks at once create each due run only once.
    """
    for job in CronJob.objects.filter(next_at__lte=timezone.now()).order_by("next_at"):
        jobs.tick(job, timezone.now())
    apps = set(Run.objects.filter(state__in=OPEN).values_list("app", flat=True))
    for app_id in sorted(apps | _with_containers(node.engine())):
        celery.send_task("slipway.tend_runs", [app_id], expires=5)


@celery.task(name="slipway.runs_ended")
def runs_ended(app_name: str) -> None:
    """Handle an app's runs after the supervisor saw one end. It knows the app by name."""
    app_id = (
        App.objects.alias(at_node=HANDLE)
        .filter(at_node=app_name)
        .values_list("pk", flat=True)
        .first()
    )
    if app_id is not None:
        update_runs(app_id)


@celery.task(name="slipway.tend_runs")
def update_runs(app_id: int) -> None:
    """Start an app's waiting runs and record those that ended, unless another worker does it."""
    engine = node.engine()
    app = App.objects.select_related("team", "current_release").filter(pk=app_id).first()
    if app is None:
        return
    with journal.lock(engine.config.locks / f"runs-{app.handle}", timeout=15.0) as held:
        if held:
            _update(app, engine)


def _with_containers(engine: NodeEngine) -> set[int]:
    """Return ids of apps with run containers. Containers of an app without a row are removed."""
    names = {container.spec.app for container in engine.runs.all()}
    known = dict(
        App.objects.alias(at_node=HANDLE).filter(at_node__in=names).values_list(HANDLE, "pk")
    )
    for name in names - known.keys():
        engine.runs.remove_all(name)
    return set(known.values())


def _update(app: App, engine: NodeEngine) -> None:
    if app.deleted_at is not None:
        jobs.stop_all(app, "The app was deleted.")
    containers = engine.runs.of(app.handle)
    for run in open_runs(app):
        container = containers.pop(run.pk, None)
        if run.state == RunState.RUNNING:
            _continue_run(app, run, container, engine)
        elif jobs.assign_to_worker(run, most=AT_ONCE_PER_TEAM):
            _start(app, run, engine)
    for container in containers.values():  # their runs are over
        engine.runs.remove(container)


def _start(app: App, run: Run, engine: NodeEngine) -> None:
    quota = quota_of(app.team)
    order = RunOrder(
        number=run.pk,
        source=run.source,
        command=run.command,
        limits=translate.run_limits(run, quota),
    )
    try:
        engine.runs.start(
            translate.desired_app(app), translate.desired_release(app, run.release, quota), order
        )
    except RuntimeFailure as failure:
        jobs.finish(run, RunState.FAILED, f"The run could not be started: {failure.explain()}")
    else:
        jobs.mark_started(run)


def _continue_run(app: App, run: Run, container: Container | None, engine: NodeEngine) -> None:
    """Start a run if its worker was killed before the start; else check if it ended."""
    if container is None or container.status is Status.CREATED:
        if run.started_at is not None:
            jobs.finish(run, RunState.FAILED, "The node was shut down during the run.")
            return
        if container is not None:
            engine.runs.remove(container)
        _start(app, run, engine)
    elif container.status is Status.RUNNING:
        jobs.mark_started(run)
        if (
            container.started_at is not None
            and timezone.now().timestamp() - container.started_at > run.timeout
        ):
            engine.runs.stop(container)
            _end(
                run,
                container,
                engine,
                RunState.FAILED,
                f"The run took more than {run.timeout:g} s and was stopped.",
            )
    elif container.exit is not None and container.exit.code == 0:
        _end(run, container, engine, RunState.SUCCEEDED, "")
    else:
        _end(run, container, engine, RunState.FAILED, engine.runs.why(container, container.exit))


def _end(run: Run, container: Container, engine: NodeEngine, state: RunState, reason: str) -> None:
    """Record the outcome first, then remove the container.

    If the worker is killed in between, the next task removes the container, because its run is
    over.
    """
    jobs.mark_started(run)
    engine.runs.ship_rest(container)  # a client that follows the log stops at the outcome
    code = container.exit.code if container.exit is not None else None
    jobs.finish(run, state, reason, exit_code=code)
    engine.runs.remove(container)
    log.info("%s of %s: %s", run.source, run.app.name, state.label.lower())
