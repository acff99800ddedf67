"""`manage.py down`: the same as `make down`."""

from __future__ import annotations

from workers.management.commands import up


class Command(up.Command):
    help = "Stop the platform and all apps; remove all their kernel resources."
    verb = "down"
