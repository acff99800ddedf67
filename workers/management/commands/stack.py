"""`manage.py stack VERB`: what apps of this node stand on: look, build, fetch newer packages, bring apps to them."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from runtime.errors import RuntimeFailure
from workers import stackverbs
from workers.imageverbs import Answer

VERBS: dict[str, tuple[Callable[..., Answer], str]] = {
    "ls": (stackverbs.ls, "List stacks: what each is made of, the languages on it, its newest version."),
    "show": (stackverbs.show, "List a stack's versions, and the apps that stand on each."),
    "build": (stackverbs.build, "Build a stack now, and languages on it, that a first deploy need not wait."),
    "rebuild": (stackverbs.rebuild, "Build a stack anew from today's packages, as a version beside the old one."),
    "upgrade": (stackverbs.upgrade, "Bring apps to the newest version of their stack without rebuilding them, where that is sound."),
}


class Command(BaseCommand):
    help = "Stacks of this node: ls, show, build, rebuild, upgrade."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        parsers = {name: verbs.add_parser(name, help=text, description=text) for name, (_, text) in VERBS.items()}
        for name in ("show", "build"):
            parsers[name].add_argument("name", help="such as debian-13")
        parsers["build"].add_argument("language", nargs="*", help="such as python-3.13")
        parsers["rebuild"].add_argument("name", nargs="*", help="such as debian-13")
        parsers["rebuild"].add_argument("--all", action="store_true", dest="every", help="every stack that was built here")
        parsers["upgrade"].add_argument("app", nargs="*", help="an app's name")
        parsers["upgrade"].add_argument("--all", action="store_true", dest="every", help="every app")
        parsers["upgrade"].add_argument(
            "--rebuild", action="store_true", dest="from_source", help="deploy the source again where an exchange is not sound"
        )
        for one in parsers.values():
            one.add_argument("--json", action="store_true", dest="as_json", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        verb, _ = VERBS[options["verb"]]
        try:
            answer = verb(progress=lambda line: print(line, file=sys.stderr), **options)
        except RuntimeFailure as failure:
            raise CommandError(failure.explain()) from None
        self.stdout.write(answer.as_json() if options["as_json"] else answer.as_table())
        if answer.failed:
            raise SystemExit(1)
