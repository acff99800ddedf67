"""Views of an app's settings: config vars, formation, health check, deletion."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.text import Truncator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps.access import app_for, config_of, formation_of
from portal.apps.config import hidden_while_building
from portal.apps.declared import Declared
from portal.apps.health import HealthSource, counting_now, effective_check_of, health_of
from portal.apps.models import App, ProcessFormation
from portal.apps.sizes import Size
from portal.errors import NotFound, Refused
from portal.jobs.access import postdeploy_of
from portal.lifecycle import app_actions
from portal.pages import breadcrumbs, form_errors
from portal.pages.apps.forms import (
    BranchForm,
    ConfigVarForm,
    DeleteForm,
    HealthForm,
    ManyVarsForm,
    SizeForm,
    all_valid,
    health_form,
    size_forms,
)
from portal.quotas.access import quota_of
from portal.quotas.lines import lines_after, lines_of
from portal.releases.models import Release


@signed_in
@never_cache
def settings(request: SignedInRequest, name: str) -> HttpResponse:
    """Show all settings on one page. `?reveal=NAME` shows the value of one config var."""
    return _page(request, app_for(request.user, name), revealed=request.GET.get("reveal", ""))


@signed_in
@never_cache
def config_var(request: SignedInRequest, name: str, variable: str) -> HttpResponse:
    """Show one row of the config vars, masked or (`?reveal`) editable. Requested by htmx."""
    app = app_for(request.user, name)
    config = config_of(app)
    if variable not in config:
        raise NotFound(f"{name} has no config var {variable}.")
    context = {
        "app": app,
        "name": variable,
        "value": config[variable],
        "revealed": "reveal" in request.GET,
        "hidden_while_building": hidden_while_building(app),
    }
    return render(request, "apps/fragments/config_var.html", context)


@signed_in
@require_POST
def set_config(request: SignedInRequest, name: str) -> HttpResponse:
    """Add, change or remove a config var."""
    app, form = app_for(request.user, name), ConfigVarForm(request.POST)
    if form.is_valid():
        variable, value = (
            form.cleaned_data["name"].strip(),
            form.cleaned_data["value"].replace("\r\n", "\n"),
        )
        try:
            release = app_actions.set_config_vars(
                request.user,
                app=app,
                changes={variable: None if "remove" in request.POST else value},
                while_building=(
                    {variable: "while_building" in request.POST}
                    if "asks_while_building" in request.POST and "remove" not in request.POST
                    else {}
                ),
            )
        except Refused as refused:
            form_errors.mark(form, refused)
            if form.errors.get("name") is None and isinstance(refused, NotFound):
                raise
        else:
            _say_saved(
                request,
                release,
                f"{variable} is {'removed' if 'remove' in request.POST else 'set'}.",
            )
            return redirect("app-settings", name)
    return _page(request, app, config_form=form)


@signed_in
@require_POST
def set_many(request: SignedInRequest, name: str) -> HttpResponse:
    """Set several config vars from the lines of a .env file."""
    app, form = app_for(request.user, name), ManyVarsForm(request.POST)
    if form.is_valid():
        try:
            release = app_actions.set_config_vars(
                request.user, app=app, changes=form.cleaned_data["lines"]
            )
        except Refused as refused:
            form.add_error("lines", [refused.sentence, refused.hint])
        else:
            _say_saved(request, release, f"{len(form.cleaned_data['lines'])} config vars are set.")
            return redirect("app-settings", name)
    return _page(request, app, many_form=form)


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
            return redirect("app-settings", name)
    return _page(request, app, forms=forms, sizes=sizes)


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
            return redirect("app-settings", name)
    return _page(request, app, branch_form=form)


@signed_in
@require_POST
def set_health(request: SignedInRequest, name: str) -> HttpResponse:
    """Set or remove the app's own health check."""
    app = app_for(request.user, name)
    if "remove" in request.POST:
        app_actions.unset_health(request.user, app=app)
        messages.success(
            request, f"The health check of these settings was removed.\n{_counts(app)}"
        )
        return redirect("app-settings", name)
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
            return redirect("app-settings", name)
    return _page(request, app, refused_health=form)


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
    return _page(request, app, delete_form=form)


def _page(
    request: SignedInRequest,
    app: App,
    *,
    revealed: str = "",
    config_form: ConfigVarForm | None = None,
    many_form: ManyVarsForm | None = None,
    forms: list[tuple[ProcessFormation, SizeForm]] | None = None,
    sizes: Mapping[str, Size] | None = None,
    refused_health: HealthForm | None = None,
    branch_form: BranchForm | None = None,
    delete_form: DeleteForm | None = None,
) -> HttpResponse:
    refused = any((config_form, many_form, forms, refused_health, branch_form, delete_form))
    health = health_of(app)
    declared = app.current_release.declared if app.current_release else Declared()
    context = {
        "app": app,
        "declared": declared,
        "counting": effective_check_of(app, declared),
        "postdeploy": postdeploy_of(app),
        "config": config_of(app),
        "hidden_while_building": hidden_while_building(app),
        "revealed": revealed,
        "config_form": config_form or ConfigVarForm(),
        "many_form": many_form or ManyVarsForm(),
        "size_forms": forms or size_forms(formation_of(app)),
        "commands_of": app.current_release.processes if app.current_release else {},
        # after a refusal, the usage that the typed numbers would need
        "lines": (
            lines_after(app, sizes)
            if sizes
            else [line for line in lines_of(app.team) if line.name != "Apps"]
        ),
        "quota": quota_of(app.team),
        "health": health,
        "health_form": refused_health or health_form(health),
        "branch_form": branch_form or BranchForm(initial={"branch": app.deploy_branch}),
        "delete_form": delete_form or DeleteForm(),
        "releases": Release.objects.filter(app=app).count(),
        "crumbs": breadcrumbs.of_app(app, "Settings"),
        "tab": "settings",
    }
    return render(request, "apps/settings.html", context, status=422 if refused else 200)


def _counts(app: App) -> str:
    """Describe the effect of a change, for a message."""
    counting = counting_now(app)
    # a command may be long, and messages are stored in a cookie
    words = Truncator(counting.check.words).chars(200)
    if counting.source is HealthSource.FILE and app.current_release:
        return f"{app.current_release.declared.file} has precedence: {words}."
    return f"Instances that start from now on use: {words}."


def _say_saved(request: SignedInRequest, release: Release | None, sentence: str) -> None:
    after = (
        f"It is being rolled out as v{release.number}."
        if release
        else "The next deploy will use it."
    )
    messages.success(request, f"{sentence}\n{after}")
