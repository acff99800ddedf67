"""`manage.py deploy_example`: deploys the example app like every other app.

It does nothing if this source was deployed before.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from portal.apps.models import App
from runtime.config import from_environment
from runtime.errors import RuntimeFailure
from workers.setup.steps import step
from workers.setup.welcome import EXAMPLE, example


class Command(BaseCommand):
    help = "Deploy examples/hello to the running platform, unless it was deployed already."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        hello = example(from_environment())
        try:
            if not hello.is_deployed:
                with step("Deploy examples/hello") as current:
                    hello.deploy(current)
            elif App.objects.filter(
                name=EXAMPLE, deleted_at=None, current_release__isnull=False
            ).exists():
                with step("Wait for hello") as current:
                    hello.wait(current)
        except RuntimeFailure as failure:
            self.stderr.write(failure.explain())
            raise SystemExit(1) from None
