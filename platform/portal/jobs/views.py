"""Running a job now. Jobs and runs are shown on their app's page."""

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
from portal.jobs.access import cron_for
from portal.jobs.actions import run_now


@signed_in
@require_POST
def run_job(request: SignedInRequest, name: str, job: str) -> HttpResponse:
    """Run it, and go back to where its outcome will be."""
    app = app_for(request.user, name)
    wanted = cron_for(app, job)
    try:
        run_now(request.user, app=app, job=wanted)
    except Refused as refused:
        refusals.notice(request, refused)
    else:
        messages.success(request, f"{job} runs now.\nIts outcome appears below, its output in the log.")
    return redirect(reverse("app", args=[name]) + "#jobs")
