"""The form of every Roll back button."""

from __future__ import annotations

from django import forms


class RollbackForm(forms.Form):
    """Input for the release to roll back to."""

    number = forms.IntegerField(min_value=1)
