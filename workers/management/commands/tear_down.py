"""`manage.py tear_down`: stop every app and remove what we made in the kernel. The state stays on disk."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from runtime.config import from_environment
from runtime.engines.node import NodeEngine
from runtime.errors import RuntimeFailure
from workers.setup import confinement
from workers.setup.steps import step


class Command(BaseCommand):
    help = "Stop every app and remove every mount, namespace, cgroup, bridge and firewall rule of this node."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            config = from_environment()
            confinement.enter(config)  # what they stand on is mounted there
            with step("Stop the apps and remove what they stood on"):
                NodeEngine(config).tear_down()
        except RuntimeFailure as failure:
            self.stderr.write(failure.explain())
            raise SystemExit(1) from None
