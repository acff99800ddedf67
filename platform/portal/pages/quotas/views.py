"""Views of the admin pages: node, teams, quotas, network policies, people."""

from __future__ import annotations

from django.contrib import messages
from django.db import transaction
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts.access import require_admin, team_for
from portal.accounts.models import Person, Team
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.activity.access import audit_for
from portal.errors import Refused
from portal.lifecycle.account_actions import create_person, create_personal_team
from portal.pages import breadcrumbs, form_errors
from portal.pages.accounts.forms import PersonForm
from portal.pages.breadcrumbs import Crumb
from portal.pages.domains.card import own_certificates
from portal.pages.quotas.forms import NetworkForm, QuotaForm
from portal.quotas import actions
from portal.quotas.access import network_policy_of, quota_of, team_uses
from portal.quotas.capacity import capacity_of
from portal.quotas.lines import lines, lines_of
from portal.releases.actions import request_upgrade


@signed_in
def admin(request: SignedInRequest) -> HttpResponse:
    """Show the node, the teams, the certificates, the people and the activity."""
    require_admin(request.user)
    return _page(request, PersonForm())


@signed_in
@require_http_methods(["GET", "POST"])
def quota(request: SignedInRequest, name: str) -> HttpResponse:
    """Edit the limits of one team."""
    require_admin(request.user)
    team = team_for(request.user, name)
    form = _quota_form(team, request.POST or None)
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
    return _quota_page(request, team, form, _network_form(team))


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
    return _quota_page(request, team, _quota_form(team), form)


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


def _quota_form(team: Team, data: QueryDict | None = None) -> QuotaForm:
    now = quota_of(team)
    return QuotaForm(data, initial={field: getattr(now, field) for field in QuotaForm.base_fields})


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


def _page(request: SignedInRequest, form: PersonForm) -> HttpResponse:
    teams = team_uses()
    context = {
        "capacity": capacity_of(teams),
        "teams": [
            (line, [entry for entry in lines(line.quota, line.use) if entry.name != "Disk"])
            for line in teams
        ],
        "people": Person.objects.prefetch_related("teams").order_by("-is_staff", "username"),
        "audit": audit_for(request.user)[:12],
        "certificates": own_certificates(),
        "form": form,
        "crumbs": breadcrumbs.of_page("Admin"),
    }
    return render(request, "quotas/admin.html", context, status=422 if form.errors else 200)
