"""Sleep periods of apps and the resources saved: workers record them, pages show the sums."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q

from portal.apps.access import usage_of
from portal.apps.models import App, Instance, InstanceState
from portal.traffic.models import Nap

SPAN = timedelta(days=7)  # the period of the sums
KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepSavings:
    """The resources that sleep has saved in the last SPAN, or since the app was created."""

    of: timedelta  # the observed period
    asleep: timedelta
    stopped: timedelta  # the part of it without any process
    naps: int  # sleep periods that began in it
    instance_time: timedelta  # instance time saved, over all instances
    memory_time: float  # bytes times seconds that stopped instances did not use
    since: datetime | None  # the beginning of the current sleep period

    @property
    def share(self) -> int:
        """Return the time asleep as a percentage."""
        return round(100 * (self.asleep / self.of))

    @property
    def memory(self) -> int:
        """Return the average of the freed memory in bytes, over the whole period."""
        return round(self.memory_time / self.of.total_seconds())


def saved_by(app: App, now: datetime) -> SleepSavings | None:
    """Return the savings of an app, or None if it never slept in the period."""
    begin = max(now - SPAN, app.created_at)
    naps = list(Nap.objects.filter(Q(ended_at=None) | Q(ended_at__gt=begin), app=app))
    if not naps or now <= begin:
        return None
    asleep = {nap.pk: (nap.ended_at or now) - max(nap.began_at, begin) for nap in naps}
    stopped = {
        nap.pk: (nap.ended_at or now) - max(nap.stopped_at, begin)
        for nap in naps
        if nap.stopped_at is not None
    }
    return SleepSavings(
        of=now - begin,
        asleep=sum(asleep.values(), timedelta()),
        stopped=sum(stopped.values(), timedelta()),
        naps=sum(1 for nap in naps if nap.began_at >= begin),
        instance_time=sum((asleep[nap.pk] * nap.instances for nap in naps), timedelta()),
        memory_time=sum(
            stopped[nap.pk].total_seconds() * nap.memory for nap in naps if nap.pk in stopped
        ),
        since=next((nap.began_at for nap in naps if nap.ended_at is None), None),
    )


def note(app: App, *, since: datetime | None, stopped: bool, now: datetime) -> None:
    """Record that an app is asleep since `since`, or awake (None). Repeated calls change nothing.
    For the workers."""
    open_nap = Nap.objects.filter(app=app, ended_at=None).first()
    if open_nap is not None and open_nap.began_at != since:
        Nap.objects.filter(pk=open_nap.pk).update(ended_at=now)
        open_nap = None
    if since is None:
        return
    if open_nap is None:
        sleepers = list(Instance.objects.filter(app=app, state=InstanceState.ASLEEP))
        memory = sum(usage.memory_bytes for usage in usage_of(sleepers).values())
        open_nap, _ = Nap.objects.get_or_create(
            app=app, began_at=since, defaults={"instances": len(sleepers), "memory": memory}
        )
    if stopped and open_nap.stopped_at is None:
        Nap.objects.filter(pk=open_nap.pk).update(stopped_at=now)


def forget_old(now: datetime) -> None:
    """Delete sleep periods that are too old for the sums. For the workers."""
    Nap.objects.filter(ended_at__lt=now - KEPT).delete()
