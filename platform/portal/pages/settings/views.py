"""Views of an app's settings: a section, and the forms for processes, branch, health check and
deletion. `variables` has the config vars."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import Truncator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for, formation_of
from portal.apps.health import HealthSource, current_check
from portal.apps.models import App
from portal.errors import Refused
from portal.lifecycle import app_actions
from portal.pages import form_errors
from portal.pages.apps.forms import BranchForm, DeleteForm, HealthForm, all_valid, size_forms
from portal.pages.settings import variables
from portal.pages.settings.sections import redirect_to, render_section
from portal.pages.settings.variables import shown_variables
from portal.quotas.lines import lines_after, lines_of


@signed_in
@never_cache
@require_safe
def settings(request: SignedInRequest, name: str, section: str = "general") -> HttpResponse:
    """Show a section of the settings. In the variables, `?q=` selects some by name, and
    `?reveal=NAME` shows the value of one."""
    app = app_for(request.user, name)
    changed = shown_variables(request, app) if section == variables.SECTION else {}
    return render_section(request, app, section, changed=changed)


@signed_in
@require_POST
def scale(request: SignedInRequest, name: str) -> HttpResponse:
    """Set the count and size of the process types."""
    app = app_for(request.user, name)
    forms = size_forms(formation_of(app), request.POST)
    sizes = {}
    if all_valid(forms):
        sizes = {row.process: form.size(row) for row, form in forms}
        try:
            app_actions.scale(request.user, app=app, sizes=sizes)
        except Refused as refused:
            form_errors.mark(forms[0][1], refused)
        else:
            messages.success(
                request, "Scaled.\nInstances are started or stopped as needed, without downtime."
            )
            return redirect_to(name, "scale")
    changed: dict[str, object] = {"size_forms": forms}
    if sizes:  # the usage that the typed numbers would need
        changed["lines"] = lines_after(app, sizes)
    return render_section(request, app, "scale", changed=changed, status=422)


@signed_in
def scale_preview(request: SignedInRequest, name: str) -> HttpResponse:
    """Show the team's quota usage after a change of the formation. Requested by htmx while the form
    is edited."""
    app = app_for(request.user, name)
    forms = size_forms(formation_of(app), request.GET)
    if all_valid(forms):
        lines = lines_after(app, {row.process: form.size(row) for row, form in forms})
    else:
        lines = [line for line in lines_of(app.team) if line.name != "Apps"]
    return render(request, "components/quota.html", {"lines": lines})


@signed_in
@require_POST
def set_branch(request: SignedInRequest, name: str) -> HttpResponse:
    """Set the branch whose pushes deploy."""
    app, form = app_for(request.user, name), BranchForm(request.POST)
    if form.is_valid():
        try:
            app = app_actions.set_deploy_branch(
                request.user, app=app, branch=form.cleaned_data["branch"]
            )
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            words = app.deploy_branch or "main or master"
            messages.success(request, f"The branch was saved.\nA push to {words} deploys the app.")
            return redirect_to(name, "general")
    return render_section(request, app, "general", changed={"branch_form": form}, status=422)


@signed_in
@require_http_methods(["GET", "POST"])
def health(request: SignedInRequest, name: str) -> HttpResponse:
    """Show, set or remove the app's own health check."""
    app = app_for(request.user, name)
    if request.method == "GET":
        return render_section(request, app, "health")
    if "remove" in request.POST:
        app_actions.unset_health(request.user, app=app)
        messages.success(
            request, f"The health check of these settings was removed.\n{_counts(app)}"
        )
        return redirect_to(name, "health")
    form = HealthForm(request.POST)
    if form.is_valid():
        values = {
            field: None if value == "" else value for field, value in form.cleaned_data.items()
        }
        try:
            app_actions.set_health(request.user, app=app, changes=values)
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(request, f"The health check was saved.\n{_counts(app)}")
            return redirect_to(name, "health")
    return render_section(request, app, "health", changed={"health_form": form}, status=422)


@signed_in
@require_POST
def delete(request: SignedInRequest, name: str) -> HttpResponse:
    """Delete the app if its name was typed correctly."""
    app, form = app_for(request.user, name), DeleteForm(request.POST)
    if form.is_valid():
        try:
            app_actions.delete_app(
                request.user, app=app, typed_name=form.cleaned_data["typed_name"]
            )
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(
                request,
                f"{name} was deleted.\nIts instances are being stopped. Its name can be used again"
                " shortly.",
            )
            return redirect("home")
    return render_section(request, app, "danger", changed={"delete_form": form}, status=422)


def _counts(app: App) -> str:
    """Describe the effect of a change, for a message."""
    counting = current_check(app)
    # a command may be long, and messages are stored in a cookie
    words = Truncator(counting.check.words).chars(200)
    if counting.source is HealthSource.FILE and app.current_release:
        return f"{app.current_release.declared.file} has precedence: {words}."
    return f"Instances that start from now on use: {words}."
