"""An app's config vars for its next release."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from portal.apps import secrets
from portal.apps.models import App, ConfigVar, SecretName


def config_of(app: App) -> dict[str, str]:
    """Return the decrypted values by name."""
    return {
        row.name: secrets.decrypt(row.encrypted_value)
        for row in ConfigVar.objects.filter(app=app).order_by("name")
    }


def shown_config(app: App) -> dict[str, str | None]:
    """Return the values that may be shown, by name. The value of a secret is None."""
    secret = secret_names(app)
    return {name: None if name in secret else value for name, value in config_of(app).items()}


def secret_names(app: App) -> frozenset[str]:
    """Return the names of config vars whose values are write-only, set or not."""
    return frozenset(SecretName.objects.filter(app=app).values_list("name", flat=True))


def make_secret(app: App, names: Collection[str]) -> list[str]:
    """Make config vars write-only. Return the names that changed. The caller holds the app's
    lock."""
    changed = sorted(set(names) - secret_names(app))
    SecretName.objects.bulk_create(SecretName(app=app, name=name) for name in changed)
    return changed


def config_for_build(app: App) -> dict[str, str]:
    """Return the decrypted values that build steps may see, by name."""
    hidden = hidden_while_building(app)
    return {name: value for name, value in config_of(app).items() if name not in hidden}


def hidden_while_building(app: App) -> frozenset[str]:
    """Return the names of the config vars that only instances see."""
    return frozenset(
        ConfigVar.objects.filter(app=app, while_building=False).values_list("name", flat=True)
    )


def show_while_building(app: App, choices: Mapping[str, bool]) -> list[str]:
    """Set which config vars build steps see. Return the names that changed. The caller holds the
    app's lock."""
    hidden = hidden_while_building(app)
    changed = [name for name, shown in choices.items() if shown == (name in hidden)]
    for name in changed:
        ConfigVar.objects.filter(app=app, name=name).update(while_building=choices[name])
    return changed


def write_config(app: App, config: Mapping[str, str]) -> None:
    """Replace all config vars. The caller holds the app's lock and writes the audit entry."""
    before = config_of(app)
    ConfigVar.objects.filter(app=app).exclude(name__in=config).delete()
    for name, value in config.items():
        if before.get(name) != value:
            ConfigVar.objects.update_or_create(
                app=app, name=name, defaults={"encrypted_value": secrets.encrypt(value)}
            )
