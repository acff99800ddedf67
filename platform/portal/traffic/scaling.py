"""Apply autoscaling decisions: the platform scales `web` within the team's quota and records the
reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from portal import events
from portal.activity import audit
from portal.apps.models import App, ProcessFormation
from portal.apps.sizes import Size
from portal.errors import QuotaExceeded
from portal.queue import Task, enqueue
from portal.quotas import decision
from portal.quotas.app_lock import lock_app
from portal.traffic.access import WEB, traffic_of
from portal.traffic.models import Scaling

KEPT = 50  # decisions per app
SAID_AGAIN_AFTER = timedelta(hours=1)  # time before the same refusal is recorded again


@transaction.atomic
def autoscale(app: App, *, count: int, reason: str) -> None:
    """Scale to `count`, or up to as many instances as the quota allows. Nothing happens if
    autoscaling was turned off."""
    app = lock_app(app)
    row = ProcessFormation.objects.filter(app=app, process=WEB).first()
    if row is None or row.count == count or not traffic_of(app).autoscale:
        return
    after, refused = _allowed(app, Size.of(row), count)
    if after == row.count:
        _record_refusal(app, before=row.count, wanted=count, reason=reason, refused=refused)
        return
    # a manifest must not undo it
    ProcessFormation.objects.filter(pk=row.pk).update(count=after, by_person=True)
    _note(app, before=row.count, wanted=count, after=after, reason=reason, refused=refused)
    more = f". It needs {count}: {refused}" if refused else ""
    audit.record(None, f"autoscaled {WEB} from {row.count} to {after}: {reason}{more}", app=app)
    enqueue(Task.CONVERGE, app.pk)
    events.announce(app.name, events.EventKind.FORMATION)


def _allowed(app: App, size: Size, count: int) -> tuple[int, str]:
    """Return the allowed number nearest to `count`, and the reason if it differs. Scaling down is
    always allowed."""
    refused = ""
    for wanted in [count] if count < size.count else range(count, size.count, -1):
        try:
            decision.check_formation(app.team, app, {WEB: replace(size, count=wanted)})
        except QuotaExceeded as refusal:
            refused = refused or refusal.sentence
        else:
            return wanted, refused
    return size.count, refused


def _record_refusal(app: App, *, before: int, wanted: int, reason: str, refused: str) -> None:
    last = Scaling.objects.filter(app=app).first()
    if (
        last is not None
        and last.refused
        and last.after == before
        and timezone.now() - last.at < SAID_AGAIN_AFTER
    ):
        return
    _note(app, before=before, wanted=wanted, after=before, reason=reason, refused=refused)
    audit.record(
        None, f"could not autoscale {WEB} from {before} to {wanted} ({reason}): {refused}", app=app
    )
    events.announce(app.name, events.EventKind.FORMATION)


def _note(app: App, *, before: int, wanted: int, after: int, reason: str, refused: str) -> None:
    Scaling.objects.create(
        app=app,
        before=before,
        wanted=wanted,
        after=after,
        reason=reason[:200],
        refused=refused[:300],
    )
    old = Scaling.objects.filter(app=app).values_list("pk", flat=True)[KEPT:]
    Scaling.objects.filter(pk__in=list(old)).delete()
