"""Views of volumes: the page of one, and its forms. The list is a section of the app's settings."""

from __future__ import annotations

from collections.abc import Callable

from django import forms
from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for
from portal.apps.volumes import Volume
from portal.errors import NotFound, Refused
from portal.http.file_responses import file_response
from portal.pages import breadcrumbs, form_errors
from portal.pages.settings.sections import redirect_to, render_section
from portal.pages.volumes.context import volume_context
from portal.pages.volumes.forms import (
    AttachForm,
    CloneForm,
    FolderForm,
    NewVolumeForm,
    SettingsForm,
    SnapshotForm,
    TypedNameForm,
    UploadForm,
)
from portal.volumes import actions, copies, jobs
from portal.volumes.access import last_job, volume_for
from portal.volumes.models import JobKind, JobState

SECTION = "volumes"


@signed_in
@require_POST
def add(request: SignedInRequest, name: str) -> HttpResponse:
    """Create a volume."""
    app, form = app_for(request.user, name), NewVolumeForm(request.POST)
    if form.is_valid():
        try:
            row = actions.create(request.user, app=app, **form.cleaned_data)
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(
                request,
                f"The volume {row.name} is being created.\nThe instances that get it are replaced.",
            )
            return redirect_to(name, SECTION)
    return render_section(request, app, SECTION, changed={"volume_form": form}, status=422)


@signed_in
@never_cache
@require_safe
def volume(request: SignedInRequest, number: int) -> HttpResponse:
    """Show a volume with its files and snapshots."""
    return _page(request, volume_for(request.user, number))


@signed_in
@require_POST
def change(request: SignedInRequest, number: int) -> HttpResponse:
    """Enlarge a volume, or change its settings."""
    found, form = volume_for(request.user, number), SettingsForm(request.POST)
    if form.is_valid():
        try:
            actions.change(request.user, volume=found, **form.cleaned_data)
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(request, f"The settings of {found.name} are saved.")
            return redirect("volume", number)
    return _page(request, found, settings_form=form)


@signed_in
@require_POST
def detach(request: SignedInRequest, number: int) -> HttpResponse:
    """Detach a volume from its app."""
    found = volume_for(request.user, number)
    return _done(
        request,
        found,
        lambda: actions.detach(request.user, volume=found),
        f"{found.name} is detached.\nIts data stays until you delete it.",
    )


@signed_in
@require_POST
def attach(request: SignedInRequest, number: int) -> HttpResponse:
    """Attach a detached or deleted volume to an app."""
    found = volume_for(request.user, number)
    form = AttachForm(found, request.POST)
    if form.is_valid():
        try:
            actions.attach(request.user, volume=found, **form.cleaned_data)
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(
                request, f"{found.name} is attached to {form.cleaned_data['app'].name}."
            )
            return redirect("volume", number)
    return _page(request, found, attach_form=form)


@signed_in
@require_POST
def delete(request: SignedInRequest, number: int) -> HttpResponse:
    """Delete a volume if its name was typed correctly."""
    found = volume_for(request.user, number)
    app, typed = found.app, _typed(request)
    try:
        actions.delete(request.user, volume=found, typed_name=typed)
    except Refused as refused:
        form_errors.notice(request, refused)
        return redirect("volume", number)
    messages.success(request, f"{found.name} was deleted.\nIt can be restored for seven days.")
    return redirect_to(app.name, SECTION) if app is not None else redirect("home")


@signed_in
@require_POST
def delete_at_once(request: SignedInRequest, number: int) -> HttpResponse:
    """Remove the data of a deleted volume now."""
    found = volume_for(request.user, number)
    try:
        actions.delete_at_once(request.user, volume=found, typed_name=_typed(request))
    except Refused as refused:
        form_errors.notice(request, refused)
        return redirect("volume", number)
    messages.success(request, f"The data of {found.name} is being removed.")
    return redirect("home")


@signed_in
@require_POST
def take_snapshot(request: SignedInRequest, number: int) -> HttpResponse:
    """Take a snapshot."""
    found, form = volume_for(request.user, number), SnapshotForm(request.POST)
    note = form.cleaned_data["note"] if form.is_valid() else ""
    return _done(
        request,
        found,
        lambda: copies.take_snapshot(request.user, volume=found, note=note),
        "The snapshot is being taken.\nWrites to the volume wait until it is complete.",
    )


@signed_in
@require_POST
def delete_snapshot(request: SignedInRequest, number: int, snapshot: int) -> HttpResponse:
    """Delete a snapshot."""
    found = volume_for(request.user, number)
    return _done(
        request,
        found,
        lambda: copies.delete_snapshot(request.user, volume=found, number=snapshot),
        "The snapshot is being deleted.",
    )


@signed_in
@require_POST
def restore(request: SignedInRequest, number: int, snapshot: int) -> HttpResponse:
    """Replace the content of a volume by a snapshot."""
    found, typed = volume_for(request.user, number), _typed(request)
    return _done(
        request,
        found,
        lambda: copies.restore(request.user, volume=found, number=snapshot, typed_name=typed),
        "The snapshot is being restored.\nThen the instances are replaced.",
    )


@signed_in
@require_POST
def clone(request: SignedInRequest, number: int) -> HttpResponse:
    """Clone a volume, or one of its snapshots."""
    found, form = volume_for(request.user, number), CloneForm(request.POST)
    if not form.is_valid():
        messages.error(request, "The clone needs a name.\nUse letters, digits and hyphens.")
        return redirect("volume", number)
    name, snapshot = form.cleaned_data["name"], form.cleaned_data["snapshot"]
    return _done(
        request,
        found,
        lambda: copies.clone(request.user, volume=found, name=name, number=snapshot),
        f"The clone {name} is being created.\nIt is in the list of detached volumes.",
    )


@signed_in
@require_POST
def download(request: SignedInRequest, number: int) -> HttpResponse:
    """Create an archive of all files."""
    found = volume_for(request.user, number)
    return _done(
        request,
        found,
        lambda: copies.download(request.user, volume=found),
        "The archive is being created.",
    )


@signed_in
@require_safe
def archive(request: SignedInRequest, number: int) -> HttpResponseBase:
    """Download the newest archive."""
    found = volume_for(request.user, number)
    job = last_job(found, JobKind.DOWNLOAD)
    if job is None or job.state != JobState.DONE or not jobs.archive_of(job).exists():
        raise NotFound(
            "This archive has been deleted.",
            hint="Archives are deleted after an hour. Create it again on the volume's page.",
        )
    return file_response(
        jobs.archive_of(job), filename=f"{found.name}.tar.gz", content_type="application/gzip"
    )


@signed_in
@require_POST
def upload(request: SignedInRequest, number: int) -> HttpResponse:
    """Unpack an archive into the volume."""
    found, form = volume_for(request.user, number), UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        messages.error(request, "There is no archive.\nChoose a file.")
        return redirect("volume", number)
    file, place = form.cleaned_data["archive"], form.cleaned_data["place"]
    return _done(
        request,
        found,
        lambda: copies.upload(
            request.user, volume=found, file=file, filename=file.name, place=place
        ),
        "The archive is being unpacked.",
    )


@signed_in
@require_POST
def browse(request: SignedInRequest, number: int) -> HttpResponse:
    """List a folder."""
    found, form = volume_for(request.user, number), FolderForm(request.POST)
    place = form.cleaned_data["place"] if form.is_valid() else ""
    return _done(request, found, lambda: copies.browse(request.user, volume=found, place=place), "")


def _page(request: SignedInRequest, found: Volume, **changed: forms.Form) -> HttpResponse:
    crumbs = (
        breadcrumbs.of_app(found.app, "Volumes", found.name)
        if found.app is not None
        else breadcrumbs.of_page("Volumes", found.name)
    )
    context = {**volume_context(found, **changed), "crumbs": crumbs}
    template = "volumes/volume.html" if found.app is not None else "volumes/unattached.html"
    return render(request, template, context, status=422 if changed else 200)


def _done(
    request: SignedInRequest, found: Volume, do: Callable[[], object], success: str
) -> HttpResponse:
    """Do something, and show the page of the volume with a message."""
    try:
        do()
    except Refused as refused:
        form_errors.notice(request, refused)
    else:
        if success:
            messages.success(request, success)
    return redirect("volume", found.pk)


def _typed(request: SignedInRequest) -> str:
    form = TypedNameForm(request.POST)
    return str(form.cleaned_data["typed_name"]) if form.is_valid() else ""
