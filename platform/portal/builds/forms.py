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


class ImageForm(forms.Form):
    """The name of an image in another registry, and who may pull it there."""

    image = forms.CharField(max_length=255)
    username = forms.CharField(max_length=255, required=False)
    password = forms.CharField(max_length=4096, required=False, strip=False)


def submit_named(request: SignedInRequest, app: App) -> Build:
    """Build the image that a form names. Refused like the actions it calls."""
    form = ImageForm(request.POST)
    if not form.is_valid():
        raise SourceRefused("No image was named, or its name is too long.", hint="Name it like ghcr.io/me/app:1.2.")
    said = form.cleaned_data
    return actions.submit_image(
        request.user,
        app=app,
        reference=said["image"],
        origin=Origin.UPLOAD,
        username=said["username"],
        password=said["password"],
    )


def submit_upload(request: SignedInRequest, app: App) -> Build:
    """Keep the archive that came with a form, and build it. Refused like the actions it calls."""
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        raise SourceRefused("No archive came with the form, or it was empty.", hint="Choose a file first.")
    archive = form.cleaned_data["archive"]
    source = sources.store_upload(archive, filename=archive.name)
    return actions.submit(request.user, app=app, source=source, origin=Origin.UPLOAD, description=archive.name)
