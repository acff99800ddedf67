"""Running a job now, stopping a run, running a failed script again. Jobs and runs are shown on their app's page."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from portal import refusals
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for
from portal.apps.models import App
from portal.errors import Refused
from portal.jobs import actions
from portal.jobs.access import cron_for, run_for

_OUTCOME = "Its outcome appears below, its output in the log."


@signed_in
@require_POST
def run_job(request: SignedInRequest, name: str, job: str) -> HttpResponse:
    """Run it, and go back to where its outcome will be."""
    app = app_for(request.user, name)
    wanted = cron_for(app, job)
    return _done(request, app, lambda: actions.run_now(request.user, app=app, job=wanted), f"{job} runs now.\n{_OUTCOME}")


@signed_in
@require_POST
def stop_run(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """End a run that waits or goes on."""
    app = app_for(request.user, name)
    run = run_for(app, number)
    said = f"{run.source} is stopped.\nIts process is told to end, and is killed if it does not."
    return _done(request, app, lambda: actions.stop(request.user, app=app, run=run), said)


@signed_in
@require_POST
def run_again(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """A post-deploy script that failed, once more."""
    app = app_for(request.user, name)
    run = run_for(app, number)
    return _done(request, app, lambda: actions.run_again(request.user, app=app, run=run), f"The post-deploy script runs again.\n{_OUTCOME}")


def _done(request: SignedInRequest, app: App, act: Callable[[], object], said: str) -> HttpResponse:
    """Act, and go back to the list of runs with what came of it."""
    try:
        act()
    except Refused as refused:
        refusals.notice(request, refused)
    else:
        messages.success(request, said)
    return redirect(reverse("app", args=[app.name]) + "#jobs")
