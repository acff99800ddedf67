"""`manage.py make_secrets`: create the portal's keys for signing and encryption. Existing keys are
not changed."""

from __future__ import annotations

import grp
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = (
        "Create django.key (sessions) and config.key (config vars) in the secrets folder, if they"
        " do not exist."
    )
    requires_system_checks = ()

    def handle(self, *_: Any, **__: Any) -> None:
        settings.SECRETS.mkdir(parents=True, exist_ok=True)
        _hand_to_group(settings.SECRETS, 0o750)
        for name, key in (
            ("django.key", secrets.token_urlsafe(48)),
            ("config.key", Fernet.generate_key().decode()),
        ):
            path: Path = settings.SECRETS / name
            if _create_once(path, key + "\n"):
                self.stdout.write(f"Created {path}. Keep a copy with your backups.")


def _create_once(path: Path, text: str) -> bool:
    """Create the file with all its content, and never overwrite it: link(2) fails if the name
    exists, even with several processes."""
    if path.exists():
        return False
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft:
        draft.write(text)
        draft.flush()
        os.fsync(draft.fileno())
        _hand_to_group(Path(draft.name), 0o640)
        try:
            os.link(draft.name, path)
        except FileExistsError:
            return False
    return True


def _hand_to_group(path: Path, mode: int) -> None:
    """Make the file root's, readable by the portal's group. Without root or that user, the owner
    stays."""
    if os.geteuid() == 0:
        try:
            os.chown(path, 0, grp.getgrnam(settings.USER).gr_gid)
        except KeyError:
            mode &= 0o700
    path.chmod(mode)
