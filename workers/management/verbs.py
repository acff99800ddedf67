"""A `manage.py NAME VERB`: each verb gives an answer, which is printed as a table or as JSON. Thin: what is done is elsewhere."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError

from runtime.errors import RuntimeFailure
from workers import node
from workers.cli.answer import Answer
from workers.setup import confinement

Verbs = Mapping[str, tuple[Callable[..., Answer], str]]  # name to what it does and a line on it


class VerbCommand(BaseCommand):
    """Ends with 1 where a verb failed, and tells a failure in its own words, with the remedy."""

    verbs: ClassVar[Verbs]
    confined: ClassVar[frozenset[str]] = frozenset()  # verbs that see, or make, what the workers mount
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        parsers = {name: verbs.add_parser(name, help=text, description=text) for name, (_, text) in self.verbs.items()}
        self.add_verb_arguments(parsers)
        for one in parsers.values():
            one.add_argument("--json", action="store_true", dest="as_json", help="for programs")

    def add_verb_arguments(self, parsers: Mapping[str, ArgumentParser]) -> None:
        """What each verb takes; nothing unless a command says so."""

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
