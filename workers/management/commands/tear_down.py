"""`manage.py tear_down`: stops every app and removes all our kernel resources. The state stays."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from runtime.config import from_environment
from runtime.engines.node import NodeEngine
from runtime.errors import RuntimeFailure
from workers.setup import confinement
from workers.setup.steps import step


class Command(BaseCommand):
    help = (
        "Stop every app and remove every mount, namespace, cgroup, bridge and firewall rule of this"
        " node."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            config = from_environment()
            confinement.enter(config)  # the apps' mounts are there
            with step("Stop the apps and remove their mounts and networks"):
                NodeEngine(config).tear_down()
        except RuntimeFailure as failure:
            self.stderr.write(failure.explain())
            raise SystemExit(1) from None
