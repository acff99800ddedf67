"""Show errors on pages: at their form field, or as a message of several lines."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest

from portal.errors import NameRefused, Refused, ValueRefused


def mark(form: forms.Form, refused: Refused) -> None:
    """Add the error to the form: at its field if it has one, else above all fields."""
    name = (
        refused.field
        if isinstance(refused, ValueRefused)
        else "name"
        if isinstance(refused, NameRefused)
        else None
    )
    lines = [line for line in (refused.sentence, refused.hint) if line]
    form.add_error(name if name in form.fields else None, lines)


def notice(request: HttpRequest, refused: Refused) -> None:
    """Show the error at the top of the next page."""
    messages.error(request, f"{refused.sentence}\n{refused.hint}")
