"""Views of sign-in, teams and the person's account."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from portal.accounts import access
from portal.accounts.models import Membership, Person, Role, Team
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.activity.access import audit_of_team
from portal.errors import Refused
from portal.lifecycle import account_actions
from portal.metrics.egress import egress_of
from portal.pages import breadcrumbs, form_errors
from portal.pages.accounts import used_forms
from portal.pages.accounts.forms import MemberForm, NewPasswordForm, TeamForm, TokenForm
from portal.pages.apps.commands import cli_install, git_clone_url
from portal.quotas.access import network_policy_of
from portal.quotas.lines import lines_of

THEMES = ("system", "light", "dark")
A_YEAR = 365 * 86400


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Store the chosen theme in a cookie, and redirect to the page it was chosen on."""
    chosen, back = request.POST.get("theme", ""), request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        back, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    response = redirect(back if safe else "/")
    if chosen in THEMES:
        response.set_cookie(
            "theme", chosen, max_age=A_YEAR, samesite="Lax", secure=request.is_secure()
        )
    return response


@signed_in
@require_http_methods(["GET", "POST"])
def new_team(request: SignedInRequest) -> HttpResponse:
    """Create a team."""
    form = TeamForm(request.POST or None)
    if form.is_valid():
        try:
            team = account_actions.create_team(request.user, name=form.cleaned_data["name"])
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            messages.success(request, f"Team {team.name} was created.\nCreate its first app.")
            return redirect("home")
    return render(
        request,
        "accounts/new_team.html",
        {"form": form, "crumbs": breadcrumbs.of_page("New team")},
        status=_status(form.errors),
    )


@signed_in
def team(request: SignedInRequest, name: str) -> HttpResponse:
    """Show members, quota usage, apps and activity."""
    return _team_page(request, access.team_for(request.user, name), MemberForm())


@signed_in
@require_POST
def add_member(request: SignedInRequest, name: str) -> HttpResponse:
    """Add a person to the team."""
    found, form = access.team_for(request.user, name), MemberForm(request.POST)
    if form.is_valid():
        try:
            added = account_actions.add_member(request.user, team=found, **form.cleaned_data)
        except Refused as refused:
            form.add_error("username", refused.explain())
        else:
            messages.success(request, f"{added.person.username} is now a member of the team.")
            return redirect("team", name)
    return _team_page(request, found, form)


@signed_in
@require_POST
def remove_member(request: SignedInRequest, name: str, username: str) -> HttpResponse:
    """Remove a person from the team."""
    found = access.team_for(request.user, name)
    person = get_object_or_404(Person, memberships__team=found, username=username)
    try:
        account_actions.remove_member(request.user, team=found, person=person)
    except Refused as refused:
        form_errors.notice(request, refused)
        return redirect("team", name)
    messages.success(request, f"{username} is no longer in team {name}.")
    return redirect(
        "home" if person == request.user else "team", *(() if person == request.user else (name,))
    )


@signed_in
@never_cache
@require_http_methods(["GET", "POST"])
def account(request: SignedInRequest) -> HttpResponse:
    """Show tokens and the password form. A new token's text is only in the response to its form.

    Each form has its own number, so that a reload of that response creates no second token.
    """
    form = TokenForm(request.POST or None)
    if used_forms.was_sent(request):
        messages.warning(request, "This form was already sent.\nIts token is in the list.")
        return redirect("account")
    if form.is_valid():
        try:
            _, secret = account_actions.create_token(request.user, label=form.cleaned_data["label"])
        except Refused as refused:
            form_errors.mark(form, refused)
        else:
            used_forms.mark_sent(request)
            return _account_page(request, token_form=TokenForm(), secret=secret)
    return _account_page(request, token_form=form)


@signed_in
@require_POST
def revoke_token(request: SignedInRequest, number: int) -> HttpResponse:
    """Revoke a token."""
    token = access.token_for(request.user, number)
    account_actions.revoke_token(request.user, token=token)
    messages.success(
        request,
        f"The token {token.label} was revoked.\nPrograms that use it no longer have access.",
    )
    return redirect("account")


@signed_in
@require_POST
def password(request: SignedInRequest) -> HttpResponse:
    """Change the person's password and keep this session signed in."""
    form = NewPasswordForm(request.user, request.POST)
    if form.is_valid():
        update_session_auth_hash(request, form.save())
        messages.success(request, "Your password was changed.\nOther browsers are signed out.")
        return redirect("account")
    return _account_page(request, password_form=form)


def _team_page(request: SignedInRequest, team: Team, form: MemberForm) -> HttpResponse:
    owns = Membership.objects.filter(team=team, person=request.user, role=Role.OWNER).exists()
    context = {
        "team": team,
        "members": access.members_of(team),
        "apps": team.apps.filter(deleted_at=None).order_by("name"),
        "lines": lines_of(team),
        "policy": network_policy_of(team),
        "egress": egress_of(team),
        "audit": audit_of_team(team)[:12],
        "admins": access.admin_names(),
        "may_change": owns or request.user.is_staff,
        "form": form,
        "crumbs": breadcrumbs.of_team(team),
    }
    return render(request, "accounts/team.html", context, status=_status(form.errors))


def _account_page(
    request: SignedInRequest,
    *,
    token_form: TokenForm | None = None,
    password_form: NewPasswordForm | None = None,
    secret: str = "",
) -> HttpResponse:
    forms = {
        "token_form": token_form or TokenForm(),
        "password_form": password_form or NewPasswordForm(request.user),
    }
    context = {
        **forms,
        "tokens": access.tokens_of(request.user),
        "secret": secret,
        "cli_install": cli_install(),
        "form_number": used_forms.new_number(),
        "git_example": f"git push {git_clone_url(request.user, 'APP')} main",
        "crumbs": breadcrumbs.of_page("Account"),
    }
    return render(
        request,
        "accounts/account.html",
        context,
        status=_status(*(form.errors for form in forms.values())),
    )


def _status(*errors: object) -> int:
    return 422 if any(errors) else 200
