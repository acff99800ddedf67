"""An app's config vars for its next release."""

from __future__ import annotations

from collections.abc import Mapping

from portal.apps import secrets
from portal.apps.models import App, ConfigVar


def config_of(app: App) -> dict[str, str]:
    """Return the decrypted values by name."""
    return {
        row.name: secrets.decrypt(row.encrypted_value)
        for row in ConfigVar.objects.filter(app=app).order_by("name")
    }


def write_config(app: App, config: Mapping[str, str]) -> None:
    """Replace all config vars. The caller holds the app's lock and writes the audit entry."""
    before = config_of(app)
    ConfigVar.objects.filter(app=app).exclude(name__in=config).delete()
    for name, value in config.items():
        if before.get(name) != value:
            ConfigVar.objects.update_or_create(
                app=app, name=name, defaults={"encrypted_value": secrets.encrypt(value)}
            )
