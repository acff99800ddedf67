"""`manage.py git_receive`: the program of git's pre-receive hook. It reads ref updates on stdin
(githooks(5)); the pusher sees stderr."""

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
from portal.apps.access import url_of
from portal.apps.models import App
from portal.errors import Refused
from portal.gitserver.push_target import Created
from portal.gitserver.receive import RefUpdate, receive
from portal.plaintext import printable_lines

_MOST_UPDATES = 2  # one is deployed, more than one is refused


class Command(BaseCommand):
    help = (
        "Deploy a push, report the progress to the pusher, and exit 0 if it is live. Run by git,"
        " not by people."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--app", type=int, required=True)
        parser.add_argument("--person", type=int, required=True)
        parser.add_argument("--created", type=Created, default=Created.NO)

    def handle(self, *_: Any, app: int, person: int, created: Created, **__: Any) -> None:
        app_row = App.objects.select_related("team").get(pk=app)
        for line in words_of_creation(app_row, created):
            say(line)
        updates = [RefUpdate.parse(line) for line in islice(sys.stdin, _MOST_UPDATES)]
        try:
            asyncio.run(
                receive(
                    app_row, Person.objects.get(pk=person), updates, say, on_taken=report_stored
                )
            )
        except Refused as refusal:
            say("")
            say(f"! {refusal.sentence}")
            if refusal.hint:
                say(f"  {refusal.hint}")
            say("")
            sys.exit(1)


def words_of_creation(app: App, created: Created) -> list[str]:
    """Return the lines about an app that this push created: its team, its URL, and how to choose
    the team."""
    if created is Created.NO:
        return []
    lines = [f"Created app {app.name} in team {app.team.name}: {url_of(app)}"]
    if created is Created.IN_FIRST_TEAM:
        lines += [
            f"You are in several teams. {app.team.name} is the first by name.",
            f"To create an app in another team, push to {settings.PORTAL_URL}/git/TEAM/APP.git",
        ]
    return lines


def say(text: str) -> None:
    """Write a line to the pusher, without control characters. If the pusher has disconnected,
    continue."""
    try:
        sys.stderr.write(printable_lines(text) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        sys.stderr = open("/dev/null", "w")  # noqa: SIM115, PTH123  # open for the rest of this process


def report_stored() -> None:
    """Notify the portal that the files are stored, so that it frees the slot. A portal that has
    ended is ignored."""
    if settings.GIT_PUSH_TAKEN is not None:
        with suppress(BrokenPipeError):
            os.write(settings.GIT_PUSH_TAKEN, b"\n")
        os.close(settings.GIT_PUSH_TAKEN)
