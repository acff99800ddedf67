"""The form of a rollback."""

from __future__ import annotations

from django import forms


class ChooseForm(forms.Form):
    """Input for the two releases of a comparison."""

    before = forms.IntegerField(min_value=1)
    after = forms.IntegerField(min_value=1)


class RollbackForm(forms.Form):
    """Input for the release to roll back to, and whose config vars it gets."""

    number = forms.IntegerField(min_value=1)
    # without a value: today's config vars
    config = forms.ChoiceField(choices=[("current", ""), ("release", "")], required=False)
