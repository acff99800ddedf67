"""Suggestions of what to do next with an app, for its overview."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse

from portal.apps.health import HealthSource, current_check
from portal.apps.models import App
from portal.domains.models import Domain
from portal.traffic.access import WEB, traffic_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """A suggestion with its page."""

    title: str
    text: str
    url: str


def next_steps_of(app: App) -> list[NextStep]:
    """Return the suggestions that the app does not follow yet, the most useful first. Empty for an
    app without a release, whose page shows how to deploy."""
    release = app.current_release
    if release is None:
        return []
    steps = []
    if WEB in release.processes and not Domain.objects.filter(app=app).exists():
        steps.append(_step(app, "domains", "Add a domain", "Serve the app under your own name."))
    if current_check(app).source is HealthSource.DEFAULT:
        text = "An instance gets traffic only when your own check passes."
        steps.append(_step(app, "health", "Set a health check", text))
    if WEB in release.processes and not traffic_of(app).autoscale:
        text = "Add instances when the load rises, and remove them later."
        steps.append(_step(app, "scale", "Turn on autoscaling", text))
    return steps


def _step(app: App, section: str, title: str, text: str) -> NextStep:
    return NextStep(
        title=title, text=text, url=reverse("settings-section", args=[app.name, section])
    )
