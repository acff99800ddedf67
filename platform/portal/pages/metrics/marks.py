"""The releases and scalings that the charts mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.urls import reverse

from portal.activity.access import changes_of_instances
from portal.apps.models import App
from portal.metrics.time_range import TimeRange
from portal.releases.models import Rollout, RolloutState

MOST = 40  # of each kind, the newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A moment with a short label, a sentence, and the address of its page."""

    at: datetime
    label: str  # "v12" or "scaled"
    text: str
    by: str
    url: str


def marks_of(app: App, shown: TimeRange) -> Sequence[Mark]:
    """Return the marks in the range, oldest first."""
    times = (
        datetime.fromtimestamp(shown.begin, UTC),
        datetime.fromtimestamp(shown.end, UTC),
    )
    rollouts = (
        Rollout.objects.filter(release__app=app, state=RolloutState.LIVE, finished_at__range=times)
        .order_by("-finished_at")
        .values_list(
            "finished_at",
            "release__number",
            "release__description",
            "release__created_by__username",
        )
    )
    deploys = reverse("deploys", args=(app.name,))
    found = [
        Mark(
            at=at,
            label=f"v{number}",
            text=f"v{number} went live: {description}",
            by=by or "",
            url=f"{deploys}#v{number}",
        )
        for at, number, description, by in rollouts[:MOST]
        if at is not None
    ]
    scale = reverse("settings-section", args=(app.name, "scale"))
    found += [
        Mark(
            at=entry.at,
            label=entry.text.partition(" ")[0],
            text=entry.text[:1].upper() + entry.text[1:],
            by=entry.person.username if entry.person else "Slipway",
            url=scale,
        )
        for entry in changes_of_instances(app, *times)[:MOST]
    ]
    return sorted(found, key=lambda mark: mark.at)
