"""Writes to people, teams and tokens."""

from __future__ import annotations

import secrets

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from portal.accounts.access import digest_of, require_admin, require_owner
from portal.accounts.models import Membership, Person, Role, Team, Token
from portal.activity import audit
from portal.apps.names import check_label
from portal.errors import Conflict, NameRefused, NotAllowed, NotFound, ValueRefused
from portal.quotas.models import Quota

TEAMS_A_PERSON = 3  # that they may own: each team has a quota, so more teams are more of the machine
_MARK = "slip_"  # lets people and scanners recognise one of our tokens


@transaction.atomic
def create_person(actor: Person | None, *, username: str, password: str, team: Team | None = None, admin: bool = False) -> Person:
    """Make someone who can sign in, as an admin or (without an actor) from the machine's own command line."""
    if actor is not None:
        require_admin(actor)
    person = Person(username=username, is_staff=admin)
    try:
        person.clean_fields(exclude=("password",))
        validate_password(password, person)
    except ValidationError as error:
        field = "username" if hasattr(error, "error_dict") else "password"
        raise ValueRefused(" ".join(error.messages), field=field) from None
    if Person.objects.filter(username__iexact=username).exists():
        raise NameRefused(f"The name {username} is taken.", hint="Choose another.")
    person.set_password(password)
    person.save()
    if team is not None:
        Membership.objects.create(team=team, person=person)
    audit.record(actor, f"made the {'admin' if admin else 'person'} {username}", team=team)
    return person


@transaction.atomic
def create_team(actor: Person, *, name: str) -> Team:
    """Make a team with the default quota; the actor becomes its owner. NotAllowed: they own as many as one may, and are no admin."""
    name = check_label(name, what="team")
    Person.objects.select_for_update().get(pk=actor.pk)  # two requests at once count one after the other
    if not actor.is_staff and Membership.objects.filter(person=actor, role=Role.OWNER).count() >= TEAMS_A_PERSON:
        raise NotAllowed(
            f"You own {TEAMS_A_PERSON} teams already, the most one may.", hint="An admin can make you another and add you to it."
        )
    try:
        with transaction.atomic():
            team = Team.objects.create(name=name)
    except IntegrityError:
        raise NameRefused(f"The team name {name} is taken.", hint="Choose another.") from None
    Quota.objects.create(team=team)
    Membership.objects.create(team=team, person=actor, role=Role.OWNER)
    audit.record(actor, f"made the team {name}", team=team)
    return team


@transaction.atomic
def add_member(actor: Person, *, team: Team, username: str, role: str = Role.MEMBER) -> Membership:
    """Put a person into a team, or change their role there; owners and admins may."""
    require_owner(actor, team)
    if role not in Role.values:
        raise ValueRefused(f"{role!r} is no role.", field="role", hint="Use owner or member.")
    person = Person.objects.filter(username__iexact=username.strip()).first()
    if person is None:
        raise NotFound(f"There is nobody called {username}.", hint="An admin adds people.")
    membership = Membership.objects.filter(team=team, person=person).first() or Membership(team=team, person=person)
    if membership.role == Role.OWNER and role != Role.OWNER:
        _require_another_owner(team, person)
    membership.role = role
    membership.save()
    audit.record(actor, f"made {person.username} {'an owner' if role == Role.OWNER else 'a member'} of the team", team=team)
    return membership


@transaction.atomic
def remove_member(actor: Person, *, team: Team, person: Person) -> None:
    """Take a person out of a team; owners and admins may, and everyone for themselves. The last owner stays."""
    if actor != person:
        require_owner(actor, team)
    membership = Membership.objects.filter(team=team, person=person).first()
    if membership is None:
        raise NotFound(f"{person.username} is not in team {team.name}.")
    if membership.role == Role.OWNER:
        _require_another_owner(team, person)
    membership.delete()
    audit.record(actor, f"took {person.username} out of the team", team=team)


@transaction.atomic
def create_token(actor: Person, *, label: str) -> tuple[Token, str]:
    """Make a token for git and the API. Its text is returned this once, and is stored nowhere."""
    label = label.strip()
    if not 1 <= len(label) <= 60:
        raise ValueRefused("A token's label has 1 to 60 characters.", field="label", hint="Say what will use it, for example laptop.")
    text = _MARK + secrets.token_urlsafe(32)
    token = Token.objects.create(person=actor, label=label, prefix=text[:12], digest=digest_of(text))
    audit.record(actor, f"made the token {label}")
    return token, text


@transaction.atomic
def revoke_token(actor: Person, *, token: Token) -> None:
    """End a token: one's own, or for an admin anyone's."""
    if token.person_id != actor.pk and not actor.is_staff:
        raise NotAllowed("That token is not yours.")
    if not Token.objects.filter(pk=token.pk).delete()[0]:
        raise Conflict(f"The token {token.label} is gone already.")
    audit.record(actor, f"revoked the token {token.label}")


def _require_another_owner(team: Team, person: Person) -> None:
    if not Membership.objects.filter(team=team, role=Role.OWNER).exclude(person=person).exists():
        raise NotAllowed(f"{person.username} is the last owner of team {team.name}.", hint="Make somebody else an owner first.")
