"""What is asked of images."""

from __future__ import annotations

from django import forms

from portal.images.actions import FORMATS


class TagForm(forms.Form):
    """A name for an image."""

    tag = forms.CharField(label="Tag", max_length=64, widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}))


class CommitForm(TagForm):
    """An image of an instance, and what to do with it."""

    deploy = forms.BooleanField(required=False)


class CompareForm(forms.Form):
    """Two images of one app, by what they are called."""

    before = forms.CharField(max_length=64)
    after = forms.CharField(max_length=64)


class SaveForm(forms.Form):
    """An archive's form."""

    format = forms.ChoiceField(choices=[(one, one) for one in FORMATS])
