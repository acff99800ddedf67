"""`manage.py up`: the same as `make up`."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Install what is missing, start the platform in the foreground, deploy the first app."
    requires_system_checks = ()
    verb = "up"

    def handle(self, *args: Any, **options: Any) -> None:
        """Replace this process by set-up, which needs no Django and little memory."""
        os.execv(sys.executable, [sys.executable, "-m", "workers.setup", self.verb])  # noqa: S606  # no foreign input is in it
