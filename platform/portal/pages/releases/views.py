"""Views of an app's deploys, and of rollbacks."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for
from portal.deploys.release_comparison import compare_releases
from portal.errors import NotFound, Refused
from portal.images.jobs import job_context
from portal.pages import breadcrumbs, form_errors
from portal.pages.apps.commands import commands_for
from portal.pages.releases.forms import ChooseForm, RollbackForm
from portal.releases import actions
from portal.releases.history import history_of, newest_rollout, previous_good
from portal.releases.rollback_preview import preview_of


@signed_in
def deploys(request: SignedInRequest, name: str) -> HttpResponse:
    """Show all deploys, newest first."""
    app = app_for(request.user, name)
    context = {
        "app": app,
        "deploys": history_of(app),
        "newest": newest_rollout(app),
        "previous": previous_good(app),
        "commands": commands_for(request.user, app.team.name, app.name, branch=app.deploy_branch),
        "crumbs": breadcrumbs.of_app(app, "Deploys"),
        "tab": "deploys",
    }
    return render(request, "releases/deploys.html", context)


@signed_in
def rollback_preview(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """Show what a rollback will change, and ask which config vars to use."""
    app = app_for(request.user, name)
    context = {
        "app": app,
        "preview": preview_of(app, number),
        "crumbs": breadcrumbs.of_app(app, f"Roll back to v{number}"),
        "tab": "deploys",
    }
    return render(request, "releases/rollback.html", context)


@signed_in
def compare(request: SignedInRequest, name: str, before: int, after: int) -> HttpResponse:
    """Compare two releases. The node compares files, packages and texts on request."""
    app = app_for(request.user, name)
    comparison = compare_releases(app, before, after)
    context = {
        "app": app,
        "comparison": comparison,
        "before": {"name": f"v{before}"},
        "after": {"name": f"v{after}"},
        **({} if comparison.job is None else job_context(comparison.job)),
        "crumbs": breadcrumbs.of_app(app, f"v{before} and v{after}"),
        "tab": "deploys",
    }
    return render(request, "releases/compare.html", context)


@signed_in
def choose(request: SignedInRequest, name: str) -> HttpResponse:
    """Redirect from the form that chooses two releases to their comparison."""
    app, form = app_for(request.user, name), ChooseForm(request.GET)
    if not form.is_valid():
        raise NotFound("Choose two releases to compare.", hint="Check the list of deploys.")
    chosen = form.cleaned_data
    return redirect("compare-releases", app.name, chosen["before"], chosen["after"])


@signed_in
@require_POST
def rollback(request: SignedInRequest, name: str) -> HttpResponse:
    """Roll back to an earlier release."""
    app, form = app_for(request.user, name), RollbackForm(request.POST)
    if not form.is_valid():
        raise NotFound("This release does not exist.", hint="Check the list of deploys.")
    try:
        rollout = actions.rollback(
            request.user,
            app=app,
            number=form.cleaned_data["number"],
            with_old_config=form.cleaned_data["config"] == "release",
        )
    except Refused as refused:
        form_errors.notice(request, refused)
        return redirect("deploys", name)
    messages.success(
        request,
        f"Rolling back to v{form.cleaned_data['number']} as v{rollout.release.number}.\nThe live"
        " release serves until the new one is healthy.",
    )
    return redirect("app", name)


@signed_in
@require_POST
def upgrade_stack(request: SignedInRequest, name: str) -> HttpResponse:
    """Move one app to the newest version of its stack."""
    app = app_for(request.user, name)
    try:
        actions.request_upgrade(request.user, app=app)
    except Refused as refused:
        form_errors.notice(request, refused)
    else:
        messages.success(
            request,
            "The stack is being checked.\nIf the app can be moved, a new release appears here. If"
            " not, the team's page shows the reason.",
        )
    return redirect("deploys", name)


@signed_in
@require_POST
def try_again(request: SignedInRequest, name: str, number: int) -> HttpResponse:
    """Retry a failed rollout."""
    app = app_for(request.user, name)
    try:
        actions.retry_rollout(request.user, app=app, number=number)
    except Refused as refused:
        form_errors.notice(request, refused)
        return redirect("deploys", name)
    messages.success(
        request,
        f"v{number} is being rolled out again.\nThe live release serves until it is healthy.",
    )
    return redirect("app", name)
