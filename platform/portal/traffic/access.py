"""Read an app's traffic settings. Other modules get them only from here."""

from __future__ import annotations

from portal.apps.models import App
from portal.traffic.models import Scaling, TrafficSettings

WEB = "web"  # the process type that is autoscaled


def traffic_of(app: App) -> TrafficSettings:
    """Return the app's settings, or unsaved defaults if nobody has changed any."""
    return TrafficSettings.objects.filter(app=app).first() or TrafficSettings(app=app)


def scalings_of(app: App, *, most: int = 10) -> list[Scaling]:
    """Return the last decisions of autoscaling, newest first."""
    return list(Scaling.objects.filter(app=app)[:most])
