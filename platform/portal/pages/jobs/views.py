"""Views that run a job, stop a run, or retry a failed script. The app's page shows jobs and
runs."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for
from portal.apps.models import App
from portal.errors import Refused
from portal.jobs import actions
from portal.jobs.access import cron_for, run_for
from portal.pages import form_errors

_OUTCOME = "The outcome appears below, the output in the log."


@signed_in
@require_POST
def run_job(request: SignedInRequest, name: str, job: str) -> HttpResponse:
    """Run a job, and redirect to the list of runs."""
    app = app_for(request.user, name)
    wanted = cron_for(app, job)
    return _done(
        request,
        app,
        lambda: actions.run_now(request.user, app=app, job=wanted),
        f"{job} was started.\n{_OUTCOME}",
    )


@signed_in
@require_POST
def run_command(request: SignedInRequest, name: str) -> HttpResponse:
    """Run a command once, and redirect to the list of runs."""
    app = app_for(request.user, name)
    return _done(
        request,
        app,
        lambda: actions.run_command(
            request.user,
            app=app,
            command=request.POST.get("command", ""),
            timeout=actions.USUAL_TIMEOUT,
        ),
        f"The command was started.\n{_OUTCOME}",
    )


@signed_in
@require_POST
def stop_run(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """Stop a queued or running run."""
    app = app_for(request.user, name)
    run = run_for(app, number)
    said = f"{run.source} was stopped.\nIts process gets SIGTERM, and SIGKILL if it does not end."
    return _done(request, app, lambda: actions.stop(request.user, app=app, run=run), said)


@signed_in
@require_POST
def run_again(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """Retry a failed post-deploy script."""
    app = app_for(request.user, name)
    run = run_for(app, number)
    return _done(
        request,
        app,
        lambda: actions.run_again(request.user, app=app, run=run),
        f"The post-deploy script was started again.\n{_OUTCOME}",
    )


def _done(request: SignedInRequest, app: App, act: Callable[[], object], said: str) -> HttpResponse:
    """Perform the action, and redirect to the list of runs with a message about the result."""
    try:
        act()
    except Refused as refused:
        form_errors.notice(request, refused)
    else:
        messages.success(request, said)
    return redirect(reverse("app", args=[app.name]) + "#jobs")
