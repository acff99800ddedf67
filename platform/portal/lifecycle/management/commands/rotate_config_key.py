"""`manage.py rotate_config_key`: encrypt all config vars with the first key of config.key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from portal.lifecycle.key_rotation import reencrypt_all


class Command(BaseCommand):
    help = (
        "Re-encrypt all config vars with the first line of config.key. Add a new key as the first"
        " line before, and remove the old keys afterwards."
    )

    def handle(self, *_: Any, **__: Any) -> None:
        self.stdout.write(f"{reencrypt_all()} rows are now encrypted with the newest key.")
