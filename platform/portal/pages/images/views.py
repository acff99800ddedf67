"""Views of images: the picture of all images, one image, a comparison, and the changes of an
instance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for
from portal.apps.models import App
from portal.errors import NotFound, Refused
from portal.http.file_responses import file_response
from portal.images import actions
from portal.images.access import (
    Listed,
    Named,
    image_for,
    image_page_of,
    instance_for,
    job_for,
    last_job,
    listed,
    live_views,
    named,
    tags_of,
    view_of,
)
from portal.images.facts import picture
from portal.images.jobs import archive_of, job_context
from portal.images.models import ImageJob, JobKind, JobState
from portal.images.sums import compared, summed
from portal.pages import breadcrumbs, form_errors
from portal.pages.images.forms import CommitForm, CompareForm, SaveForm, TagForm

LINES_OF_AN_APP = 3  # on the page of several apps; `?app=` shows all images of one


@signed_in
def images(request: SignedInRequest) -> HttpResponse:
    """Show the shared layers of some apps' live images, then all kept images of these apps."""
    search, only = (request.GET.get(name, "").strip().lower() for name in ("q", "app"))
    page, apps = image_page_of(
        request.user, search=search, app=only, number=request.GET.get("page", "")
    )
    views = [line.view for _, lines in apps for line in lines if line.view is not None]
    context = {
        "picture": picture(live_views(apps)),
        "apps": [
            (app, shown, len(lines) - len(shown))
            for app, lines in apps
            if (shown := lines if only else _first_lines(app, lines))
        ],
        "sums": summed(views),
        "page": page,
        "search": only or search,
        "crumbs": breadcrumbs.of_page("Images"),
    }
    return render(request, "images/images.html", context)


def _first_lines(app: App, lines: Sequence[Listed]) -> list[Listed]:
    """Return the newest images of an app, and the live one."""
    first = list(lines[:LINES_OF_AN_APP])
    return first + [
        line
        for line in lines[LINES_OF_AN_APP:]
        if line.named.release is not None and line.named.release.pk == app.current_release_id
    ]


@signed_in
def image(request: SignedInRequest, name: str, image: str) -> HttpResponse:
    """Show the layers, configuration, tags and actions of an image."""
    return render(
        request,
        "images/image.html",
        _image_context(image_for(request.user, name, image), TagForm()),
    )


@signed_in
def compare(request: SignedInRequest, name: str) -> HttpResponse:
    """Compare two images. Shared layers are known; the files are compared by the node on
    request."""
    app, form = app_for(request.user, name), CompareForm(request.GET)
    if not form.is_valid():
        raise NotFound("Choose two images to compare.", hint="Use Compare in the list of deploys.")
    before, after = named(app, form.cleaned_data["before"]), named(app, form.cleaned_data["after"])
    job = last_job(app, JobKind.COMPARE, actions.about_files(before.digest, after.digest))
    context = {
        "app": app,
        "before": before,
        "after": after,
        "layers": compared(view_of(app, before.digest), view_of(app, after.digest)),
        "kept": before.is_kept and after.is_kept,
        **_job(job),
        "crumbs": breadcrumbs.of_app(app, f"{before.name} and {after.name}"),
        "tab": "deploys",
    }
    return render(request, "images/compare.html", context)


@signed_in
@require_POST
def compare_files(request: SignedInRequest, name: str) -> HttpResponse:
    """Start a comparison of the files."""
    app, form = app_for(request.user, name), CompareForm(request.POST)
    if not form.is_valid():
        raise NotFound("Choose two images to compare.", hint="Use Compare in the list of deploys.")
    before, after = named(app, form.cleaned_data["before"]), named(app, form.cleaned_data["after"])
    back = f"{reverse('compare', args=[name])}?before={before.name}&after={after.name}"
    if before.release is not None and after.release is not None:
        back = reverse("compare-releases", args=[name, before.release.number, after.release.number])
    return _asked(request, lambda: actions.compare(request.user, before=before, after=after), back)


@signed_in
def instance(request: SignedInRequest, name: str, number: str) -> HttpResponse:
    """Show the filesystem changes of an instance, and a form to save it as an image."""
    return render(
        request,
        "images/instance.html",
        _instance_context(request, name, number, CommitForm(initial={"deploy": False})),
    )


@signed_in
@require_POST
def look_at_instance(request: SignedInRequest, name: str, number: str) -> HttpResponse:
    """Start a list of the instance's filesystem changes."""
    found = instance_for(request.user, name, number)
    return _asked(
        request,
        lambda: actions.look_at_instance(request.user, instance=found),
        reverse("instance", args=[name, number]),
    )


@signed_in
@require_POST
def commit(request: SignedInRequest, name: str, number: str) -> HttpResponse:
    """Start the creation of an image from an instance."""
    found, form = instance_for(request.user, name, number), CommitForm(request.POST)
    if form.is_valid():
        try:
            actions.commit(
                request.user,
                instance=found,
                tag=form.cleaned_data["tag"],
                deploy=form.cleaned_data["deploy"],
            )
            return redirect("instance", name, number)
        except Refused as refused:
            form_errors.mark(form, refused)
    return render(
        request, "images/instance.html", _instance_context(request, name, number, form), status=422
    )


@signed_in
@require_POST
def save(request: SignedInRequest, name: str, image: str) -> HttpResponse:
    """Start the creation of an archive of an image."""
    found, form = image_for(request.user, name, image), SaveForm(request.POST)
    if not form.is_valid():
        raise NotFound("Unknown format.", hint="Choose one on the image's page.")
    back = reverse("image", args=[name, image])
    return _asked(
        request,
        lambda: actions.save(request.user, image=found, form=form.cleaned_data["format"]),
        f"{back}#download",
    )


@signed_in
def archive(request: SignedInRequest, name: str, number: int) -> HttpResponseBase:
    """Download the archive of a job."""
    job = job_for(request.user, name, number)
    path = archive_of(job)
    if job.kind != JobKind.SAVE or job.state != JobState.DONE or not path.exists():
        raise NotFound(
            "This archive has been deleted.",
            hint="Archives are deleted after an hour. Create it again on the image's page.",
        )
    return file_response(path, filename=job.result["filename"], content_type="application/x-tar")


@signed_in
@require_POST
def add_tag(request: SignedInRequest, name: str, image: str) -> HttpResponse:
    """Add a tag to an image."""
    found, form = image_for(request.user, name, image), TagForm(request.POST)
    if form.is_valid():
        try:
            actions.add_tag(request.user, image=found, tag=form.cleaned_data["tag"])
            messages.success(
                request,
                f"The image of {found.name} now has the tag {form.cleaned_data['tag']}.\nIt is kept"
                " as long as it has a tag.",
            )
            return redirect("image", name, image)
        except Refused as refused:
            form_errors.mark(form, refused)
    return render(request, "images/image.html", _image_context(found, form), status=422)


@signed_in
@require_POST
def remove_tag(request: SignedInRequest, name: str, tag: str) -> HttpResponse:
    """Remove a tag."""
    app = app_for(request.user, name)
    try:
        actions.remove_tag(request.user, app=app, tag=tag)
    except Refused as refused:
        form_errors.notice(request, refused)
    else:
        messages.success(
            request,
            f"The tag {tag} was removed.\nAn image without a tag or a kept release is deleted"
            " within an hour.",
        )
    return redirect("images")


@signed_in
@require_POST
def deploy(request: SignedInRequest, name: str, image: str) -> HttpResponse:
    """Make a release of an image."""
    found = image_for(request.user, name, image)
    try:
        rollout = actions.deploy(request.user, image=found)
    except Refused as refused:
        form_errors.notice(request, refused)
        return redirect("image", name, image)
    messages.success(
        request,
        f"v{rollout.release.number} is being rolled out with the image {found.name}.\nThe live"
        " release serves until it is healthy.",
    )
    return redirect("app", name)


def _asked(request: SignedInRequest, ask: Callable[[], ImageJob], back: str) -> HttpResponse:
    """Start a job, and redirect to the page that will show the result."""
    try:
        ask()
    except Refused as refused:
        form_errors.notice(request, refused)
    return HttpResponseRedirect(back)


def _job(job: ImageJob | None) -> dict[str, object]:
    return {} if job is None else job_context(job)


def _image_context(found: Named, form: TagForm) -> dict[str, object]:
    app = found.app
    saves = (
        ImageJob.objects.filter(app=app, kind=JobKind.SAVE, about__startswith=f"{found.digest} ")
        .order_by("-id")
        .first()
    )
    lines = [line for line in listed(app) if line.named.digest != found.digest]
    return {
        "app": app,
        "named": found,
        "view": view_of(app, found.digest),
        "tags": list(tags_of(app).filter(digest=found.digest)),
        "others": [line.named for line in lines],
        "previous": f"v{found.release.number - 1}" if found.release else "",
        "form": form,
        "formats": actions.FORMATS,
        **_job(saves),
        "crumbs": breadcrumbs.of_app(app, f"Image {found.name}"),
        "tab": "deploys",
    }


def _instance_context(
    request: SignedInRequest, name: str, number: str, form: CommitForm
) -> dict[str, object]:
    found = instance_for(request.user, name, number)
    written, committed = (
        last_job(found.app, kind, found.pk) for kind in (JobKind.WRITTEN, JobKind.COMMIT)
    )
    return {
        "app": found.app,
        "instance": found,
        "written": _job(written),
        "committed": _job(committed),
        "form": form,
        "release": f"v{found.release_number}",
        "crumbs": breadcrumbs.of_app(found.app, found.pk),
        "tab": "overview",
    }
