"""Views that deploy an upload, and the page of a build."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for
from portal.apps.models import App
from portal.builds import logs as build_logs
from portal.builds.models import Build
from portal.deploys import actions
from portal.deploys.access import build_for
from portal.deploys.code_change import code_change_of
from portal.deploys.progress import progress_of
from portal.errors import NotFound, Refused
from portal.http.error_responses import json_of, wants_json
from portal.http.file_responses import log_response
from portal.pages import breadcrumbs, form_errors
from portal.pages.apps.views import overview_context
from portal.pages.builds.forms import submit_named, submit_repository, submit_upload
from portal.pages.builds.log_view import view_of
from portal.plaintext import printable


@signed_in
@require_POST
def deploy(request: SignedInRequest, name: str) -> HttpResponse:
    """Build an uploaded archive. A script gets JSON with the build's URL, a plain form is
    redirected to it."""
    return _deployed(request, name, submit_upload)


@signed_in
@require_POST
def deploy_image(request: SignedInRequest, name: str) -> HttpResponse:
    """Pull an image from another registry and deploy it."""
    return _deployed(request, name, submit_named)


@signed_in
@require_POST
def deploy_repository(request: SignedInRequest, name: str) -> HttpResponse:
    """Fetch the app's Git repository and deploy it. A form with an address sets it first."""
    return _deployed(request, name, submit_repository)


@signed_in
@require_POST
def remove_repository(request: SignedInRequest, name: str) -> HttpResponse:
    """Remove the Git repository of an app."""
    actions.forget_repository(request.user, app=app_for(request.user, name))
    messages.success(request, "The Git repository was removed.\nThe live release is not affected.")
    return redirect("app", name)


def _deployed(
    request: SignedInRequest, name: str, submit: Callable[[SignedInRequest, App], Build]
) -> HttpResponse:
    app = app_for(request.user, name)
    try:
        build = submit(request, app)
    except Refused as refused:
        if wants_json(request):
            return json_of(refused)
        context = {**overview_context(request, app), "problem": refused.explain()}
        return render(request, "apps/overview.html", context, status=refused.status)
    location = reverse("build", args=[name, build.pk])
    return (
        JsonResponse({"location": location}, status=201)
        if wants_json(request)
        else redirect(location)
    )


@signed_in
def build(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """Show the story of a deploy: commit, steps, and the log of the build and of the boot."""
    found = build_for(request.user, name, number)
    progress = progress_of(found)
    context = {
        "app": found.app,
        "build": found,
        "title": printable(found.description or found.source.filename),
        "source": printable(found.source.filename),
        "progress": progress,
        "change": code_change_of(found, progress.rollout),
        "log": view_of(found, request.GET.dict()),
        "crumbs": breadcrumbs.of_app(found.app, f"Build {found.pk}"),
        "tab": "deploys",
    }
    return render(request, "builds/build.html", context)


@signed_in
def log_file(request: SignedInRequest, name: str, number: int) -> HttpResponseBase:
    """Download the build log as text."""
    found = build_for(request.user, name, number)
    path = build_logs.path_of(found)
    if not path.exists():
        raise NotFound(f"Build {number} has no log lines yet.")
    return log_response(path, filename=f"{name}-build-{number}.log")


@signed_in
@require_POST
def cancel(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """Cancel a build."""
    found = build_for(request.user, name, number)
    try:
        actions.cancel(request.user, build=found)
    except Refused as refused:
        form_errors.notice(request, refused)
    else:
        messages.success(request, "The build was cancelled.\nThe live release is not affected.")
    return redirect("build", name, number)
