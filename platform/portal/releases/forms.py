"""The form behind every Roll back button."""

from __future__ import annotations

from django import forms


class RollbackForm(forms.Form):
    """Which release to go back to."""

    number = forms.IntegerField(min_value=1)
