"""Tasks that reconcile apps: after a change, after an exit, on a schedule, and after a deletion."""

from __future__ import annotations

import logging

from portal import events
from portal.apps.models import HANDLE, App
from portal.lifecycle.app_actions import forget
from portal.quotas.models import Quota
from portal.releases.models import Release
from runtime import journal
from workers import node
from workers.bridge import translate
from workers.celery import app as celery
from workers.store import series
from workers.tasks import reconcile

log = logging.getLogger(__name__)

# Then the schedule continues: a task must not hold its thread while an app boots endlessly.
SECONDS = 15.0


@celery.task(name="slipway.converge")
def converge(app_id: int) -> None:
    """Reconcile an app for at most SECONDS."""
    if reconcile.reconcile_app(app_id, node.engine(), seconds=SECONDS):
        _remove_deleted(app_id)


@celery.task(name="slipway.instance_ended")
def instance_ended(app_name: str) -> None:
    """Reconcile an app after the supervisor saw one of its instances end.

    It knows the app by name.
    """
    app_id = (
        App.objects.alias(at_node=HANDLE)
        .filter(at_node=app_name)
        .values_list("pk", flat=True)
        .first()
    )
    if app_id is not None:
        converge(app_id)


@celery.task(name="slipway.converge_all")
def converge_all() -> None:
    """Compare every app with its desired state, and send a task for each that differs.

    An app without a difference takes a few milliseconds. The apps are compared one after the other.
    With all threads at once, each app's lock would be held as long as the whole round takes. A
    request that wakes an app would wait for that.
    """
    engine = node.engine()
    with journal.lock(engine.config.locks / "converge-all", blocking=False) as held:
        for app_id in App.objects.values_list("pk", flat=True) if held else ():
            try:
                differs = reconcile.differs_from_desired_state(app_id, engine)
            except Exception:
                # The edge of one app: recorded, and the other apps are still compared.
                log.exception("Could not compare app %d with its desired state.", app_id)
                differs = False
            if differs:
                celery.send_task("slipway.converge", [app_id], expires=10)


@celery.task(name="slipway.remove_app")
def remove_app(app_id: int) -> None:
    """Remove all of a deleted app from this node, then its row."""
    converge(app_id)


@celery.task(name="slipway.apply_quota")
def apply_quota(team_id: int) -> None:
    """Apply a team's changed limits to everything of it that runs."""
    quota = Quota.objects.select_related("team").filter(team_id=team_id).first()
    if quota is None:
        return
    node.engine().set_team_limits(
        team_id, translate.team_limits(quota), translate.instance_limits(quota)
    )
    for app_id in App.objects.filter(team_id=team_id).values_list("pk", flat=True):
        celery.send_task("slipway.converge", [app_id])


def _remove_deleted(app_id: int) -> None:
    """Remove a deleted app's files and then its row, once nothing of it runs."""
    app = App.objects.filter(pk=app_id, deleted_at__isnull=False).first()
    if app is None:
        return
    engine = node.engine()
    with engine.holding(app.handle, timeout=15.0) as held:
        if not held or any(container.spec.app == app.handle for container in engine.instances()):
            return
        engine.remove_app(
            app.handle,
            images=tuple(
                f"{app.handle}:v{number}"
                for number in Release.objects.filter(app=app).values_list("number", flat=True)
            ),
        )
        series.forget(events.client(), app.handle)
        forget(app)
