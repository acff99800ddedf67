"""`manage.py purge`: the same as `make purge`."""

from __future__ import annotations

from workers.management.commands import up


class Command(up.Command):
    help = "The same as down, then delete the state (asks; YES=1 does not)."
    verb = "purge"
