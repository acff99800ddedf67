"""Config vars that an app's file gives a default: set where nobody set them, and never changed after."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Mapping

from portal.apps import secrets
from portal.apps.config import config_of, write_config
from portal.apps.models import App, GeneratedSecret
from portal.releases.declared import Variable

LARGEST_CONFIG = 96 * 2**10  # execve(2) gives arguments and environment together 128 KiB a string, and apps add their own


def set_defaults(app: App, variables: Mapping[str, Variable]) -> tuple[dict[str, str], list[str]]:
    """The config vars with all defaults in, and what to tell of it. The caller holds the app's lock."""
    config, told = config_of(app), []
    room = LARGEST_CONFIG - sum(_weight(name, value) for name, value in config.items())
    for name, variable in variables.items():
        if name in config or (variable.value is None and not variable.digits):
            continue
        value = variable.value if variable.value is not None else _secret(app, name, variable.digits)
        room -= _weight(name, value)
        if room < 0:
            told.append(f"{name} keeps no default: all config vars together would pass {LARGEST_CONFIG // 1024} KiB")
            break
        config[name] = value
        told.append(f"Set {name} to {'a generated secret' if variable.value is None else 'its default'}")
    write_config(app, config)
    return config, told


def _secret(app: App, name: str, digits: int) -> str:
    """Drawn once an app and name: a rollback, or a person who unset it, must not make what it signed worthless."""
    known = GeneratedSecret.objects.filter(app=app, name=name).first()
    if known is not None:
        return secrets.decrypt(known.encrypted_value)
    value = randomness.token_hex((digits + 1) // 2)[:digits]
    GeneratedSecret.objects.create(app=app, name=name, encrypted_value=secrets.encrypt(value))
    return value


def _weight(name: str, value: str) -> int:
    return len(name) + len(value.encode())
