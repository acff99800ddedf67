"""How a refusal is shown by a page: at the field it is about, or as a notice of several lines."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest

from portal.errors import NameRefused, Refused, ValueRefused


def mark(form: forms.Form, refused: Refused) -> None:
    """Put the refusal into the form: at its field where it has one, else above all fields."""
    name = refused.field if isinstance(refused, ValueRefused) else "name" if isinstance(refused, NameRefused) else None
    lines = [line for line in (refused.sentence, refused.hint) if line]
    form.add_error(name if name in form.fields else None, lines)


def notice(request: HttpRequest, refused: Refused) -> None:
    """Say it at the top of the next page."""
    messages.error(request, f"{refused.sentence}\n{refused.hint}")
