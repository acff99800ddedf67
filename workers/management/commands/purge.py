"""`manage.py purge`: the same as `make purge`."""

from __future__ import annotations

from workers.management.commands import up


class Command(up.Command):
    help = "Run down, then delete the state. Asks first, unless YES=1 is set."
    verb = "purge"
