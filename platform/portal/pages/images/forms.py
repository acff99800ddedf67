"""Forms for images."""

from __future__ import annotations

from django import forms

from portal.images.actions import FORMATS


class TagForm(forms.Form):
    """Input for a tag."""

    tag = forms.CharField(
        label="Tag",
        max_length=64,
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )


class CommitForm(TagForm):
    """Input to create an image from an instance."""

    deploy = forms.BooleanField(required=False)


class CompareForm(forms.Form):
    """Input for two images of an app, by their names."""

    before = forms.CharField(max_length=64)
    after = forms.CharField(max_length=64)


class SaveForm(forms.Form):
    """Input for the format of an archive."""

    format = forms.ChoiceField(choices=[(name, name) for name in FORMATS])
