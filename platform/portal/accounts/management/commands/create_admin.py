"""`manage.py create_admin NAME`: someone who may do everything; the way back in for whoever owns the machine."""

from __future__ import annotations

import secrets
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.accounts.actions import create_person
from portal.errors import Refused


class Command(BaseCommand):
    help = "Make an admin. Prints a generated password, or reads one from standard input with --password-stdin."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--password-stdin", action="store_true")

    def handle(self, *_: Any, name: str, password_stdin: bool, **__: Any) -> None:
        password = sys.stdin.readline().rstrip("\n") if password_stdin else secrets.token_urlsafe(12)
        try:
            create_person(None, username=name, password=password, admin=True)
        except Refused as refusal:
            raise CommandError(refusal.explain()) from None
        self.stdout.write(f"Made the admin {name}." if password_stdin else f"Made the admin {name} with password {password}")
