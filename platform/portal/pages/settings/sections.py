"""The sections of an app's settings: the menu, the data of each section, and rendering one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from django import forms
from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from portal.accounts.access import teams_of
from portal.accounts.models import Person, Team
from portal.accounts.signed_in import SignedInRequest
from portal.apps.access import formation_of, host_of
from portal.apps.config import hidden_while_building, secret_names, shown_config
from portal.apps.declared import Declared
from portal.apps.health import effective_check_of, health_of
from portal.apps.models import App
from portal.errors import NotFound
from portal.jobs.access import postdeploy_of
from portal.pages import breadcrumbs
from portal.pages.apps.forms import (
    BranchForm,
    ConfigVarForm,
    DeleteForm,
    DescriptionForm,
    ManyVarsForm,
    RenameForm,
    TransferForm,
    health_form,
    size_forms,
)
from portal.pages.domains.card import card_of
from portal.pages.traffic.forms import AuthForm, forms_of
from portal.pages.volumes.context import section_context
from portal.quotas.access import quota_of
from portal.quotas.lines import lines_of
from portal.releases.models import Release
from portal.traffic.access import scalings_of, traffic_of
from portal.traffic.sleep_history import saved_by
from portal.volumes.access import replaces_all_at_once

Context = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """An entry of the menu. `parts` are the templates in templates/settings, in order."""

    name: str
    label: str
    icon: str
    parts: tuple[str, ...]
    context_of: Callable[[App], Context]

    @property
    def templates(self) -> list[str]:
        return [part if "/" in part else f"settings/{part}.html" for part in self.parts]


def section(name: str) -> Section:
    """Return a section. Raise NotFound if it does not exist."""
    found = next((section for section in SECTIONS if section.name == name), None)
    if found is None:
        raise NotFound(f"Unknown section: {name}.", hint="Choose a section of the menu.")
    return found


def render_section(
    request: SignedInRequest,
    app: App,
    name: str,
    *,
    changed: Mapping[str, object] | None = None,
    refused: Mapping[str, forms.Form] | None = None,
    status: int = 200,
) -> HttpResponse:
    """Render the page of a section. `changed` replaces parts of its data. `refused` has refused
    forms of traffic settings by their card; the response has status 422 then."""
    shown = section(name)
    context = {**_declared(app), **shown.context_of(app), **(changed or {})}
    if shown.name == "general" and "transfer_form" not in context:
        context["transfer_form"] = TransferForm(other_teams(request.user, app))
    if refused:
        cards = context.get("cards")
        context["cards"] = {**(cards if isinstance(cards, dict) else {}), **refused}
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    context |= {
        "app": app,
        "section": shown,
        "sections": SECTIONS,
        "crumbs": breadcrumbs.of_app(app, shown.label),
        "tab": "settings",
    }
    return render(request, "settings/section.html", context, status=status)


def redirect_to(app_name: str, name: str, anchor: str = "") -> HttpResponseRedirect:
    """Redirect to a section, after a form was saved."""
    url = reverse("settings-section", args=[app_name, name])
    return HttpResponseRedirect(f"{url}#{anchor}" if anchor else url)


def other_teams(person: Person, app: App) -> QuerySet[Team]:
    """Return the teams that the person may move the app to."""
    teams = Team.objects.order_by("name") if person.is_staff else teams_of(person)
    return teams.exclude(pk=app.team_id)


def _declared(app: App) -> Context:
    return {"declared": app.current_release.declared if app.current_release else Declared()}


def _general(app: App) -> Context:
    return {
        "branch_form": BranchForm(initial={"branch": app.deploy_branch}),
        "description_form": DescriptionForm(initial={"description": app.description}),
        "rename_form": RenameForm(),
        "host": host_of(app),
        "base_domain": settings.BASE_DOMAIN,
        "postdeploy": postdeploy_of(app),
    }


def _variables(app: App) -> Context:
    return {
        "config": shown_config(app),
        "secret_names": secret_names(app),
        "hidden_while_building": hidden_while_building(app),
        "revealed": "",
        "config_form": ConfigVarForm(),
        "many_form": ManyVarsForm(),
    }


def _scale(app: App) -> Context:
    return {
        "size_forms": size_forms(formation_of(app)),
        "commands_of": app.current_release.processes if app.current_release else {},
        "lines": [line for line in lines_of(app.team) if line.name != "Apps"],
        "quota": quota_of(app.team),
        "scalings": scalings_of(app),
        **_traffic(app),
    }


def _health(app: App) -> Context:
    health = health_of(app)
    declared = app.current_release.declared if app.current_release else Declared()
    return {
        "health": health,
        "health_form": health_form(health),
        "counting": effective_check_of(app, declared),
    }


def _domains(app: App) -> Context:
    return {"card": card_of(app)}


def _sleep(app: App) -> Context:
    return {
        "saved": saved_by(app, timezone.now()),
        "team_sleep": quota_of(app.team).sleep_minutes,
        **_traffic(app),
    }


def _traffic(app: App) -> Context:
    row = traffic_of(app)
    return {
        "traffic": row,
        "cards": {"auth": AuthForm(), **forms_of(row)},
        "replaces_all_at_once": replaces_all_at_once(app),
    }


def _danger(app: App) -> Context:
    return {"delete_form": DeleteForm(), "releases": Release.objects.filter(app=app).count()}


def _entry(
    name: str, label: str, icon: str, context_of: Callable[[App], Context], *parts: str
) -> Section:
    return Section(name=name, label=label, icon=icon, parts=parts, context_of=context_of)


_GENERAL_PARTS = (
    "description",
    "git",
    "apps/fragments/app_file.html",
    "restart",
    "name",
    "team",
)
SECTIONS = (
    _entry("general", "General", "settings", _general, *_GENERAL_PARTS),
    _entry("variables", "Variables", "braces", _variables, "variables"),
    _entry("scale", "Scale", "trending-up", _scale, "processes", "autoscale"),
    _entry("health", "Health", "heart-pulse", _health, "health"),
    _entry("domains", "Domains", "globe", _domains, "domains/card.html"),
    _entry("volumes", "Volumes", "hard-drive", section_context, "volumes"),
    _entry("rollout", "Rollout", "rocket", _traffic, "rollout"),
    _entry("sleep", "Sleep", "moon", _sleep, "sleep"),
    _entry("limits", "Limits", "gauge", _traffic, "limits"),
    _entry("routes", "Routes", "split", _traffic, "routes"),
    _entry("access", "Access", "lock", _traffic, "access"),
    _entry("error-pages", "Error pages", "file-warning", _traffic, "error_pages"),
    _entry("danger", "Danger", "triangle-alert", _danger, "danger"),
)
# The section that has each card of traffic settings.
SECTION_OF_CARD = {
    "rollout": "rollout",
    "sleep": "sleep",
    "autoscale": "scale",
    "limits": "limits",
    "routes": "routes",
    "visitors": "access",
    "auth": "access",
    "pages": "error-pages",
}
