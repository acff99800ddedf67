"""`manage.py git_receive`: what git's pre-receive hook runs; ref updates on stdin (githooks(5)), the pusher hears stderr."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from portal.accounts.models import Person
from portal.apps.models import App
from portal.errors import Refused
from portal.gitserver.receive import RefUpdate, receive
from portal.plaintext import printable_lines

_MOST_UPDATES = 2  # one deploys, and more than one is refused


class Command(BaseCommand):
    help = "Deploy what is being pushed, tell the pusher how it goes, and exit 0 if it went live. Run by git, not by people."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--app", type=int, required=True)
        parser.add_argument("--person", type=int, required=True)

    def handle(self, *_: Any, app: int, person: int, **__: Any) -> None:
        app_row = App.objects.select_related("team").get(pk=app)
        updates = [RefUpdate.parse(line) for line in islice(sys.stdin, _MOST_UPDATES)]
        try:
            asyncio.run(receive(app_row, Person.objects.get(pk=person), updates, say, on_taken=tell_taken))
        except Refused as refusal:
            say("")
            say(f"! {refusal.sentence}")
            if refusal.hint:
                say(f"  {refusal.hint}")
            say("")
            sys.exit(1)


def say(text: str) -> None:
    """Write to the pusher at once, without control characters; a pusher who has gone is no reason to stop."""
    try:
        sys.stderr.write(printable_lines(text) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        sys.stderr = open("/dev/null", "w")  # noqa: SIM115, PTH123  # for the rest of this process


def tell_taken() -> None:
    """Tell the portal that the files are in: another push may have this one's turn. A portal that has gone needs no word."""
    if settings.GIT_PUSH_TAKEN is not None:
        with suppress(BrokenPipeError):
            os.write(settings.GIT_PUSH_TAKEN, b"\n")
        os.close(settings.GIT_PUSH_TAKEN)
