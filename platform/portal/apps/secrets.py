"""Config vars at rest: AES and HMAC by Fernet, under keys that lie in files beside the database, not in it.

The newest key encrypts, all of them decrypt, so a key is replaced by putting a new one first (`manage.py rotate_config_key`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def encrypt(text: str) -> bytes:
    """Ciphertext for a BinaryField."""
    return _keys().encrypt(text.encode())


def decrypt(ciphertext: bytes | memoryview) -> str:
    """The text again; ImproperlyConfigured when none of our keys made it."""
    try:
        return _keys().decrypt(bytes(ciphertext)).decode()
    except InvalidToken:
        raise ImproperlyConfigured(
            f"A config var was encrypted with a key that is not in {settings.SECRETS / 'config.key'}. Put the old key back as its last line."
        ) from None


def encrypt_config(config: Mapping[str, str]) -> bytes:
    """A release's config vars, whole."""
    return encrypt(json.dumps(dict(config), sort_keys=True))


def decrypt_config(ciphertext: bytes | memoryview) -> dict[str, str]:
    """The reverse of `encrypt_config`."""
    config: dict[str, str] = json.loads(decrypt(ciphertext))
    return config


def rotate(ciphertext: bytes | memoryview) -> bytes:
    """The same text under the newest key."""
    return _keys().rotate(bytes(ciphertext))


def _keys() -> MultiFernet:
    if not settings.CONFIG_KEYS:
        raise ImproperlyConfigured(f"There is no {settings.SECRETS / 'config.key'}. Make it once with manage.py make_secrets.")
    return MultiFernet([Fernet(key) for key in settings.CONFIG_KEYS])
