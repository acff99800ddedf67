"""`manage.py router VERB`: look at what the router is told, repair it, upgrade it without a refused connection."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from runtime.errors import RuntimeFailure
from workers import routerverbs
from workers.imageverbs import Answer

VERBS: dict[str, tuple[Callable[..., Answer], str]] = {
    "ls": (routerverbs.ls, "List apps with their hosts and how many instances each is sent to."),
    "check": (routerverbs.check, "Compare the running router with its files, repair it, and tell what differed."),
    "reload": (routerverbs.reload, "Have a fresh worker of the HAProxy that is installed now; nothing is refused or cut."),
}


class Command(BaseCommand):
    help = "The router of this node: ls, check, reload."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        for name, (_, text) in VERBS.items():
            verbs.add_parser(name, help=text, description=text).add_argument(
                "--json", action="store_true", dest="as_json", help="for programs"
            )

    def handle(self, *args: Any, **options: Any) -> None:
        verb, _ = VERBS[options["verb"]]
        try:
            answer = verb(**options)
        except RuntimeFailure as failure:
            raise CommandError(failure.explain()) from None
        self.stdout.write(answer.as_json() if options["as_json"] else answer.as_table())
        if answer.failed:
            raise SystemExit(1)
