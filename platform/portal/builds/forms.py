"""The form of an upload, and its one way to a build."""

from __future__ import annotations

from django import forms

from portal.accounts.signed_in import SignedInRequest
from portal.apps.models import App
from portal.builds import actions, sources
from portal.builds.models import Build, Origin
from portal.errors import SourceRefused


class UploadForm(forms.Form):
    """One archive."""

    archive = forms.FileField()


def submit_upload(request: SignedInRequest, app: App) -> Build:
    """Keep the archive that came with a form, and build it. Refused like the actions it calls."""
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        raise SourceRefused("No archive came with the form, or it was empty.", hint="Choose a file first.")
    archive = form.cleaned_data["archive"]
    source = sources.store_upload(archive, filename=archive.name)
    return actions.submit(request.user, app=app, source=source, origin=Origin.UPLOAD, description=archive.name)
