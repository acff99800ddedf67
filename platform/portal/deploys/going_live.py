"""A rollout that succeeded: its release becomes the app's current release, and its jobs apply."""

from __future__ import annotations

from django.db import transaction

from portal.activity import audit
from portal.apps.models import App, ProcessFormation
from portal.errors import NotFound
from portal.jobs.adoption import adopt_crons, queue_postdeploy
from portal.quotas.app_lock import lock_app
from portal.releases.actions import end_rollout
from portal.releases.models import Rollout, RolloutState


@transaction.atomic
def finish_live(rollout: Rollout) -> bool:
    """Make the release the app's current release. Return False if a newer rollout replaced this
    one."""
    try:
        app = lock_app(rollout.release.app)
    except NotFound:
        return False
    is_first = not Rollout.objects.filter(release__app=app, state=RolloutState.LIVE).exists()
    if not end_rollout(rollout, RolloutState.LIVE, reason=""):
        return False
    declared = rollout.release.declared
    adopt_crons(app, declared)
    if is_first:
        queue_postdeploy(app, rollout.release, declared)
    App.objects.filter(pk=app.pk).update(current_release=rollout.release)
    ProcessFormation.objects.filter(app=app).exclude(process__in=rollout.release.processes).delete()
    audit.record(None, f"v{rollout.release.number} went live", app=app)
    return True
