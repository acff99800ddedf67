"""The form of an upload."""

from __future__ import annotations

from django import forms


class UploadForm(forms.Form):
    """One archive."""

    archive = forms.FileField()
