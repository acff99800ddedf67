"""Set config vars that a manifest gives a default. A variable that already has a value does not
change."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Mapping

from portal.apps import secrets
from portal.apps.config import config_of, write_config
from portal.apps.models import App, GeneratedSecret
from runtime.contract.manifest import Variable

# execve(2) allows 128 KiB per string for arguments and environment together, and apps add their own
# variables
LARGEST_CONFIG = 96 * 2**10


def set_defaults(app: App, variables: Mapping[str, Variable]) -> tuple[dict[str, str], list[str]]:
    """Return the config vars with all defaults, and notes about what was set. The caller holds the
    app's lock."""
    config, notes = config_of(app), []
    room = LARGEST_CONFIG - sum(_weight(name, value) for name, value in config.items())
    for name, variable in variables.items():
        if name in config or (variable.value is None and not variable.digits):
            continue
        value = (
            variable.value if variable.value is not None else _secret(app, name, variable.digits)
        )
        room -= _weight(name, value)
        if room < 0:
            notes.append(
                f"{name} was not set to its default: all config vars together would be larger than"
                f" {LARGEST_CONFIG // 1024} KiB"
            )
            break
        config[name] = value
        notes.append(
            f"Set {name} to {'a generated secret' if variable.value is None else 'its default'}"
        )
    write_config(app, config)
    return config, notes


def _secret(app: App, name: str, digits: int) -> str:
    """Return the generated secret of this app and name. It is generated only once.

    So a rollback, or a person who unsets the variable, does not invalidate what was signed with it.
    """
    known = GeneratedSecret.objects.filter(app=app, name=name).first()
    if known is not None:
        return secrets.decrypt(known.encrypted_value)
    value = randomness.token_hex((digits + 1) // 2)[:digits]
    GeneratedSecret.objects.create(app=app, name=name, encrypted_value=secrets.encrypt(value))
    return value


def _weight(name: str, value: str) -> int:
    return len(name) + len(value.encode())
