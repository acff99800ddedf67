"""`manage.py stack VERB`: commands that list, build, rebuild and upgrade this node's stacks."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from workers.cli import stack
from workers.management.verbs import VerbCommand, Verbs

VERBS: Verbs = {
    "ls": (stack.ls, "List stacks, with their source, their languages and their newest version."),
    "show": (stack.show, "List a stack's versions, and the apps that use each."),
    "build": (
        stack.build,
        "Build a stack and languages on it now, so that the first deploy does not wait.",
    ),
    "rebuild": (
        stack.rebuild,
        "Build a stack again from today's packages, as a version next to the old one.",
    ),
    "upgrade": (
        stack.upgrade,
        "Upgrade apps to the newest version of their stack without a rebuild, where that is safe.",
    ),
}


class Command(VerbCommand):
    help = "Stacks of this node: ls, show, build, rebuild, upgrade."
    verbs = VERBS
    confined = frozenset({"build", "rebuild", "upgrade"})

    def add_verb_arguments(self, parsers: Mapping[str, ArgumentParser]) -> None:
        for name in ("show", "build"):
            parsers[name].add_argument("name", help="such as debian-13")
        parsers["build"].add_argument("language", nargs="*", help="such as python-3.13")
        parsers["rebuild"].add_argument("name", nargs="*", help="such as debian-13")
        parsers["rebuild"].add_argument(
            "--all", action="store_true", dest="every", help="every stack that was built here"
        )
        parsers["upgrade"].add_argument("app", nargs="*", help="an app's name")
        parsers["upgrade"].add_argument(
            "--all", action="store_true", dest="every", help="every app"
        )
        parsers["upgrade"].add_argument(
            "--rebuild",
            action="store_true",
            dest="from_source",
            help="deploy the source again where an upgrade is not safe",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, progress=lambda line: print(line, file=sys.stderr), **options)
