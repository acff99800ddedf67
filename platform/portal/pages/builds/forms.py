"""The upload forms, and how they submit a build."""

from __future__ import annotations

from django import forms

from portal.accounts.signed_in import SignedInRequest
from portal.apps.models import App
from portal.builds import sources
from portal.builds.models import Build, Origin
from portal.deploys import actions
from portal.errors import SourceRefused


class UploadForm(forms.Form):
    """Input for an archive."""

    archive = forms.FileField()


class ImageForm(forms.Form):
    """Input for the name of an image in another registry, with credentials."""

    image = forms.CharField(max_length=255)
    username = forms.CharField(max_length=255, required=False)
    password = forms.CharField(max_length=4096, required=False, strip=False)


class RepositoryForm(forms.Form):
    """Input for a Git repository. Without an address, the app's own is fetched again."""

    address = forms.CharField(max_length=500, required=False)
    branch = forms.CharField(max_length=200, required=False)
    token = forms.CharField(max_length=4096, required=False)


def submit_repository(request: SignedInRequest, app: App) -> Build:
    """Fetch the Git repository of a form, or of the app. Raises the errors of the actions that it
    calls."""
    form = RepositoryForm(request.POST)
    if not form.is_valid():
        raise SourceRefused(
            "The Git address, branch or token is too long.",
            hint="Use an address like https://github.com/me/app.git.",
        )
    said = form.cleaned_data
    if said["address"]:
        actions.remember_repository(
            request.user,
            app=app,
            address=said["address"],
            branch=said["branch"],
            token=said["token"] or None,
        )
    return actions.submit_repository(request.user, app=app, origin=Origin.UPLOAD)


def submit_named(request: SignedInRequest, app: App) -> Build:
    """Build the image that a form names. Raises the errors of the actions that it calls."""
    form = ImageForm(request.POST)
    if not form.is_valid():
        raise SourceRefused(
            "The image name is empty or too long.", hint="Use a name like ghcr.io/me/app:1.2."
        )
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
    """Store the archive of a form, and build it. Raises the errors of the actions that it calls."""
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        raise SourceRefused(
            "The form has no archive, or the archive is empty.", hint="Choose a file first."
        )
    archive = form.cleaned_data["archive"]
    source = sources.store_upload(archive, filename=archive.name)
    return actions.submit(
        request.user, app=app, source=source, origin=Origin.UPLOAD, description=archive.name
    )
