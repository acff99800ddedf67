"""Running a job now, stopping a run, running a failed script again. Jobs and runs are shown on their app's page."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from portal import refusals
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for
from portal.errors import Refused
from portal.jobs import actions
from portal.jobs.access import cron_for, run_for


@signed_in
@require_POST
def run_job(request: SignedInRequest, name: str, job: str) -> HttpResponse:
    """Run it, and go back to where its outcome will be."""
    app = app_for(request.user, name)
    wanted = cron_for(app, job)
    try:
        actions.run_now(request.user, app=app, job=wanted)
    except Refused as refused:
        refusals.notice(request, refused)
    else:
        messages.success(request, f"{job} runs now.\nIts outcome appears below, its output in the log.")
    return redirect(reverse("app", args=[name]) + "#jobs")


@signed_in
@require_POST
def stop_run(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """End a run that waits or goes on."""
    app = app_for(request.user, name)
    run = run_for(app, number)
    try:
        actions.stop(request.user, app=app, run=run)
    except Refused as refused:
        refusals.notice(request, refused)
    else:
        messages.success(request, f"{run.source} is stopped.\nIts process is told to end, and is killed if it does not.")
    return redirect(reverse("app", args=[name]) + "#jobs")


@signed_in
@require_POST
def run_again(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """A post-deploy script that failed, once more."""
    app = app_for(request.user, name)
    run = run_for(app, number)
    try:
        actions.run_again(request.user, app=app, run=run)
    except Refused as refused:
        refusals.notice(request, refused)
    else:
        messages.success(request, "The post-deploy script runs again.\nIts outcome appears below, its output in the log.")
    return redirect(reverse("app", args=[name]) + "#jobs")
