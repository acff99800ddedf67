"""`manage.py create_admin NAME`: create an admin. With it the owner of the node can always regain
access."""

from __future__ import annotations

import secrets
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.errors import Refused
from portal.lifecycle.account_actions import create_person


class Command(BaseCommand):
    help = (
        "Create an admin. Prints a generated password, or reads one from standard input with"
        " --password-stdin."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--password-stdin", action="store_true")

    def handle(self, *_: Any, name: str, password_stdin: bool, **__: Any) -> None:
        password = (
            sys.stdin.readline().rstrip("\n") if password_stdin else secrets.token_urlsafe(12)
        )
        try:
            create_person(None, username=name, password=password, admin=True)
        except Refused as refusal:
            raise CommandError(refusal.explain()) from None
        self.stdout.write(
            f"Created the admin {name}."
            if password_stdin
            else f"Created the admin {name} with password {password}"
        )
