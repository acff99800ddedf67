"""Encrypt config vars at rest with Fernet (AES and HMAC). The keys are in files, not in the
database.

The newest key encrypts; all keys can decrypt. To replace a key, add a new one as the first line
(`manage.py rotate_config_key`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def encrypt(text: str) -> bytes:
    """Return the ciphertext, for a BinaryField."""
    return _keys().encrypt(text.encode())


def decrypt(ciphertext: bytes | memoryview) -> str:
    """Return the text. Raise ImproperlyConfigured if none of the keys fits."""
    try:
        return _keys().decrypt(bytes(ciphertext)).decode()
    except InvalidToken:
        raise ImproperlyConfigured(
            "A config var was encrypted with a key that is not in"
            f" {settings.SECRETS / 'config.key'}. Put the old key back as its last line."
        ) from None


def encrypt_config(config: Mapping[str, str]) -> bytes:
    """Encrypt all config vars of a release as one text."""
    return encrypt(json.dumps(dict(config), sort_keys=True))


def decrypt_config(ciphertext: bytes | memoryview) -> dict[str, str]:
    """Reverse `encrypt_config`."""
    config: dict[str, str] = json.loads(decrypt(ciphertext))
    return config


def rotate(ciphertext: bytes | memoryview) -> bytes:
    """Encrypt the same text with the newest key."""
    return _keys().rotate(bytes(ciphertext))


def _keys() -> MultiFernet:
    if not settings.CONFIG_KEYS:
        raise ImproperlyConfigured(
            f"{settings.SECRETS / 'config.key'} does not exist. Create it once with manage.py"
            " make_secrets."
        )
    return MultiFernet([Fernet(key) for key in settings.CONFIG_KEYS])
