"""`manage.py show_addresses`: prints three lines for new users."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from runtime.config import from_environment
from workers.setup.welcome import address_lines


class Command(BaseCommand):
    help = "Print the portal's URL, the admin's name and password, and the example's URL."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write("\n" + "\n".join(address_lines(from_environment())))
