"""Views of an app's config vars: change, reveal, import with a comparison, export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps import dotenv
from portal.apps.access import app_for, config_of
from portal.apps.config import hidden_while_building, secret_names, shown_config
from portal.apps.models import App
from portal.errors import NotFound, Refused
from portal.lifecycle import app_actions
from portal.pages import form_errors
from portal.pages.apps.forms import ConfigVarForm, ManyVarsForm
from portal.pages.settings.sections import redirect_to, render_section
from portal.releases.models import Release

SECTION = "variables"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedVar:
    """A variable of an import, compared with the current value. `kind` is new, changed, same, or
    secret if the current value is not shown."""

    name: str
    kind: str


@signed_in
@never_cache
def config_var(request: SignedInRequest, name: str, variable: str) -> HttpResponse:
    """Show one row of the config vars, masked or (`?reveal`) editable. Requested by htmx."""
    app = app_for(request.user, name)
    config = shown_config(app)
    if variable not in config:
        raise NotFound(f"{name} has no config var {variable}.")
    context = {
        "app": app,
        "name": variable,
        "value": config[variable],
        "secret_names": secret_names(app),
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
        is_kept = (
            not value
            and "remove" not in request.POST
            and variable in secret_names(app)
            and variable in config_of(app)
        )
        try:
            release = app_actions.set_config_vars(
                request.user,
                app=app,
                changes=(
                    {}  # an empty field keeps the value of a secret, which is not shown
                    if is_kept
                    else {variable: None if "remove" in request.POST else value}
                ),
                secret=[variable] if _asks_secret(request) else [],
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
            return redirect_to(name, SECTION)
    return render_section(request, app, SECTION, changed={"config_form": form}, status=422)


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
            return redirect_to(name, SECTION)
    return render_section(request, app, SECTION, changed={"many_form": form}, status=422)


@signed_in
@never_cache
@require_POST
def preview_import(request: SignedInRequest, name: str) -> HttpResponse:
    """Show what the lines of a .env file would change. Nothing is saved."""
    app, form = app_for(request.user, name), ManyVarsForm(request.POST, request.FILES)
    if not form.is_valid():
        return render_section(request, app, SECTION, changed={"many_form": form}, status=422)
    changed = {
        "many_form": form,
        "imported": _compared(shown_config(app), form.cleaned_data["lines"]),
        "lines": dotenv.write(form.cleaned_data["lines"]),
    }
    return render_section(request, app, SECTION, changed=changed)


@signed_in
@never_cache
def export(request: SignedInRequest, name: str) -> HttpResponse:
    """Send all config vars as a .env file. Of secrets, it has only the names, as comments."""
    app = app_for(request.user, name)
    config = shown_config(app)
    disposition = content_disposition_header(as_attachment=True, filename=f"{app.name}.env")
    return HttpResponse(
        dotenv.write({name: value for name, value in config.items() if value is not None})
        + "".join(
            f"# {name} is secret, so its value is not here.\n"
            for name, value in config.items()
            if value is None
        ),
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": disposition or "attachment"},
    )


def shown_variables(request: SignedInRequest, app: App) -> Mapping[str, object]:
    """Return the config vars that `?q=` selects by name, and the one that `?reveal=` shows."""
    text = request.GET.get("q", "").strip()
    config = {
        name: value for name, value in shown_config(app).items() if text.upper() in name.upper()
    }
    return {"config": config, "search": text, "revealed": request.GET.get("reveal", "")}


def _asks_secret(request: SignedInRequest) -> bool:
    return "secret" in request.POST and "remove" not in request.POST


def _compared(before: Mapping[str, str | None], after: Mapping[str, str]) -> list[ImportedVar]:
    return [
        ImportedVar(
            name=name,
            kind=_kind(before[name], value) if name in before else "new",
        )
        for name, value in sorted(after.items())
    ]


def _kind(before: str | None, after: str) -> str:
    """Compare two values. Whether a secret has this value is not said."""
    if before is None:
        return "secret"
    return "same" if before == after else "changed"


def _say_saved(request: SignedInRequest, release: Release | None, sentence: str) -> None:
    after = (
        f"It is being rolled out as v{release.number}."
        if release
        else "The next deploy will use it."
    )
    messages.success(request, f"{sentence}\n{after}")
