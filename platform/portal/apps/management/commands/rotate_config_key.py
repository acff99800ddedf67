"""`manage.py rotate_config_key`: put all config vars under the first key of config.key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from portal.apps.rotation import reencrypt_all


class Command(BaseCommand):
    help = "Re-encrypt all config vars with the first line of config.key. Put a new key there first; drop the old ones afterwards."

    def handle(self, *_: Any, **__: Any) -> None:
        self.stdout.write(f"{reencrypt_all()} rows are under the newest key now.")
