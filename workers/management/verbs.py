"""The base of commands `manage.py NAME VERB`. It prints a verb's answer as a table or as JSON.

The verbs themselves are in `workers.cli`.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError

from runtime.errors import RuntimeFailure
from workers import node
from workers.cli.answer import Answer
from workers.setup import confinement

Verbs = Mapping[str, tuple[Callable[..., Answer], str]]  # name -> function and one line of help


class VerbCommand(BaseCommand):
    """A command with verbs.

    It ends with status 1 if a verb failed, and prints errors with the remedy.
    """

    verbs: ClassVar[Verbs]
    # Verbs that use or create mounts of the workers.
    confined: ClassVar[frozenset[str]] = frozenset()
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        parsers = {
            name: verbs.add_parser(name, help=text, description=text)
            for name, (_, text) in self.verbs.items()
        }
        self.add_verb_arguments(parsers)
        for verb_parser in parsers.values():
            verb_parser.add_argument(
                "--json", action="store_true", dest="as_json", help="for programs"
            )

    def add_verb_arguments(self, parsers: Mapping[str, ArgumentParser]) -> None:
        """Add each verb's arguments. By default there are none."""

    def handle(self, *_: Any, **options: Any) -> None:
        verb = self.verbs[options["verb"]][0]
        try:
            if options["verb"] in self.confined:
                confinement.enter(node.engine().config)
            answer = verb(**options)
        except RuntimeFailure as failure:
            raise CommandError(failure.explain()) from None
        self.stdout.write(answer.as_json() if options["as_json"] else answer.as_table())
        if answer.failed:
            raise SystemExit(1)
