"""`manage.py stack VERB`: what apps of this node stand on: look, build, fetch newer packages, bring apps to them."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from workers.cli import stack
from workers.management.verbs import VerbCommand, Verbs

VERBS: Verbs = {
    "ls": (stack.ls, "List stacks: what each is made of, the languages on it, its newest version."),
    "show": (stack.show, "List a stack's versions, and the apps that stand on each."),
    "build": (stack.build, "Build a stack now, and languages on it, that a first deploy need not wait."),
    "rebuild": (stack.rebuild, "Build a stack anew from today's packages, as a version beside the old one."),
    "upgrade": (stack.upgrade, "Bring apps to the newest version of their stack without rebuilding them, where that is sound."),
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
        parsers["rebuild"].add_argument("--all", action="store_true", dest="every", help="every stack that was built here")
        parsers["upgrade"].add_argument("app", nargs="*", help="an app's name")
        parsers["upgrade"].add_argument("--all", action="store_true", dest="every", help="every app")
        parsers["upgrade"].add_argument(
            "--rebuild", action="store_true", dest="from_source", help="deploy the source again where an exchange is not sound"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, progress=lambda line: print(line, file=sys.stderr), **options)
