"""The only way to an app's traffic settings."""

from __future__ import annotations

from portal.apps.models import App
from portal.traffic.models import TrafficSettings


def traffic_of(app: App) -> TrafficSettings:
    """The app's settings; the defaults, not saved, where nobody has changed any."""
    return TrafficSettings.objects.filter(app=app).first() or TrafficSettings(app=app)
