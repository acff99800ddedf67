"""`manage.py doctor`: the same as `make doctor`."""

from __future__ import annotations

from workers.management.commands import up


class Command(up.Command):
    help = "Show what this machine lacks; change nothing."
    verb = "doctor"
