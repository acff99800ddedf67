"""Views of the admin pages: node, teams, quotas, network policies, people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import require_admin, team_for
from portal.accounts.models import Team
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.errors import Refused
from portal.images.clean_up import request_clean_up
from portal.lifecycle.account_actions import create_person, create_personal_team
from portal.pages import form_errors
from portal.pages.accounts.forms import PersonForm
from portal.pages.breadcrumbs import Crumb
from portal.pages.quotas.admin_page import (
    admin_context,
    clean_up_context,
    node_context,
    quota_form,
)
from portal.pages.quotas.forms import NetworkForm, QuotaForm
from portal.quotas import actions
from portal.quotas.access import network_policy_of, team_uses
from portal.quotas.capacity import capacity_of
from portal.quotas.lines import lines, lines_of
from portal.quotas.models import Quota
from portal.releases.actions import request_upgrade


@signed_in
def admin(request: SignedInRequest) -> HttpResponse:
    """Show the node, the teams, the certificates, the people and the activity."""
    require_admin(request.user)
    return _page(request, PersonForm())


@signed_in
def node(request: SignedInRequest) -> HttpResponse:
    """Show the state of the node. Requested by htmx again and again."""
    require_admin(request.user)
    return render(request, "quotas/fragments/node.html", node_context())


@signed_in
@require_http_methods(["GET", "POST"])
def clean_up(request: SignedInRequest) -> HttpResponse:
    """Start a clean-up of images, or show the result. htmx asks for it until there is one."""
    require_admin(request.user)
    if request.method == "GET":
        return render(request, "quotas/fragments/clean_up.html", clean_up_context())
    request_clean_up(request.user)
    messages.success(
        request, "The clean-up was started.\nThe page shows what was freed when it ends."
    )
    return redirect("/admin#images")


@signed_in
@require_http_methods(["GET", "POST"])
def quota(request: SignedInRequest, name: str) -> HttpResponse:
    """Edit the limits of one team."""
    require_admin(request.user)
    team = team_for(request.user, name)
    form = quota_form(team, request.POST.dict() or None)
    if form.is_valid():
        try:
            actions.set_quota(request.user, team=team, limits=form.cleaned_data)
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(
                request,
                f"The quota of {name} was saved.\nIt applies to running instances immediately.",
            )
            return redirect("admin")
    if request.POST.get("inline"):
        return _page(request, PersonForm(), query={"edit": name}, edited=form)
    return _quota_page(request, team, form, _network_form(team))


@signed_in
def quota_preview(request: SignedInRequest, name: str) -> HttpResponse:
    """Show the team's use and the node's capacity with the limits that are being typed. Requested
    by htmx."""
    require_admin(request.user)
    team = team_for(request.user, name)
    form = quota_form(team, request.GET.dict())
    uses = team_uses()
    if form.is_valid():
        planned = Quota(team=team, **form.cleaned_data)
        uses = [replace(line, quota=planned) if line.team == team else line for line in uses]
    line = next(line for line in uses if line.team == team)
    context = {
        "lines": lines(line.quota, line.use),
        "over": line.over,
        "capacity": capacity_of(uses),
        "is_valid": form.is_valid(),
    }
    return render(request, "quotas/fragments/preview.html", context)


@signed_in
@require_POST
def network(request: SignedInRequest, name: str) -> HttpResponse:
    """Set the network policy of a team."""
    require_admin(request.user)
    team = team_for(request.user, name)
    form = NetworkForm(request.POST)
    if form.is_valid():
        try:
            actions.set_network_policy(request.user, team=team, **form.cleaned_data)
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(
                request,
                f"The network policy of {name} was saved.\nIt applies to running instances"
                " immediately.",
            )
            return redirect("admin-quota", name)
    return _quota_page(request, team, quota_form(team), form)


@signed_in
@require_POST
def upgrade_stacks(request: SignedInRequest) -> HttpResponse:
    """Move all apps to the newest version of their stack."""
    number = request_upgrade(request.user)
    noun = "app is" if number == 1 else "apps are"
    messages.success(
        request,
        f"{number} {noun} being checked.\nAn app that can be moved gets a new release. For other"
        " apps the activity list shows the reason.",
    )
    return redirect("admin")


@signed_in
@require_POST
def add_person(request: SignedInRequest) -> HttpResponse:
    """Create a person who can sign in. Without a chosen team, the person gets an own team."""
    require_admin(request.user)
    form = PersonForm(request.POST)
    if form.is_valid():
        values = form.cleaned_data
        try:
            team = team_for(request.user, values["team"]) if values["team"] else None
            with transaction.atomic():
                person = create_person(
                    request.user,
                    username=values["username"],
                    password=values["password"],
                    team=team,
                    admin=values["admin"],
                )
                if team is None:
                    create_personal_team(person)
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(
                request, f"{values['username']} can sign in now.\nSend them their initial password."
            )
            return redirect("admin")
    return _page(request, form)


def _network_form(team: Team) -> NetworkForm:
    now = network_policy_of(team)
    return NetworkForm(initial={field: getattr(now, field) for field in NetworkForm.base_fields})


def _quota_page(
    request: SignedInRequest, team: Team, form: QuotaForm, network: NetworkForm
) -> HttpResponse:
    context = {
        "team": team,
        "form": form,
        "network": network,
        "lines": lines_of(team),
        "crumbs": (Crumb(name="Admin", url="/admin"), Crumb(name=f"Quota of {team.name}")),
    }
    return render(
        request, "quotas/quota.html", context, status=422 if form.errors or network.errors else 200
    )


def _page(
    request: SignedInRequest,
    new: PersonForm,
    *,
    query: Mapping[str, str] | None = None,
    edited: QuotaForm | None = None,
) -> HttpResponse:
    context = admin_context(
        request.user, request.GET.dict() if query is None else query, new=new, edited=edited
    )
    has_errors = new.errors or (edited is not None and edited.errors)
    return render(request, "quotas/admin.html", context, status=422 if has_errors else 200)
