"""Change people, teams and tokens."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from portal.accounts.access import digest_of, require_admin, require_owner
from portal.accounts.models import Membership, Person, Role, Team, Token
from portal.activity import audit
from portal.apps.names import check_label
from portal.errors import Conflict, NameRefused, NotAllowed, NotFound, ValueRefused
from portal.quotas.models import Quota

# the most that a person may own; each team has a quota, so more teams would use more of the node
TEAMS_PER_PERSON = 3
LONGEST_PERSONAL = 30  # characters, so that an ending has place
_MARK = "slip_"  # lets people and secret scanners recognise a Slipway token


@transaction.atomic
def create_person(
    actor: Person | None,
    *,
    username: str,
    password: str,
    team: Team | None = None,
    admin: bool = False,
) -> Person:
    """Create a person who can sign in. The actor is an admin, or None for the command line of the
    node."""
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
        raise NameRefused(f"The name {username} is already in use.", hint="Choose another name.")
    person.set_password(password)
    person.save()
    if team is not None:
        Membership.objects.create(team=team, person=person)
    audit.record(actor, f"created the {'admin' if admin else 'person'} {username}", team=team)
    return person


@transaction.atomic
def create_personal_team(person: Person) -> Team:
    """Create a team with the person's name, so that the person can deploy at once.

    If the name is reserved or in use, the team's name gets an ending.
    """
    label = re.sub(r"[^a-z0-9]+", "-", person.username.lower()).strip("-")[:LONGEST_PERSONAL]
    endings = ("", "-team", *(f"-team-{number}" for number in range(2, 100)))
    for name in (f"{label}{ending}" for ending in endings):
        with suppress(NameRefused):
            return create_team(person, name=name)
    raise NameRefused(
        f"There is no free team name for {person.username}.", hint="Choose a team for the person."
    )


@transaction.atomic
def create_team(actor: Person, *, name: str) -> Team:
    """Create a team with the default quota. The actor becomes its owner.

    Raise NotAllowed if a person who is not an admin already owns the maximum number of teams.
    """
    name = check_label(name, what="team")
    # makes simultaneous requests count one after the other
    Person.objects.select_for_update().get(pk=actor.pk)
    if (
        not actor.is_staff
        and Membership.objects.filter(person=actor, role=Role.OWNER).count() >= TEAMS_PER_PERSON
    ):
        raise NotAllowed(
            f"You already own {TEAMS_PER_PERSON} teams, which is the maximum.",
            hint="Ask an admin to create another team for you.",
        )
    try:
        with transaction.atomic():
            team = Team.objects.create(name=name)
    except IntegrityError:
        raise NameRefused(
            f"The team name {name} is already in use.", hint="Choose another name."
        ) from None
    Quota.objects.create(team=team)
    Membership.objects.create(team=team, person=actor, role=Role.OWNER)
    audit.record(actor, f"created the team {name}", team=team)
    return team


@transaction.atomic
def add_member(actor: Person, *, team: Team, username: str, role: str = Role.MEMBER) -> Membership:
    """Add a person to a team, or change their role. Only owners and admins may."""
    require_owner(actor, team)
    if role not in Role.values:
        raise ValueRefused(
            f"{role!r} is not a valid role.", field="role", hint="Use owner or member."
        )
    person = Person.objects.filter(username__iexact=username.strip()).first()
    if person is None:
        raise NotFound(
            f"Person {username} does not exist.", hint="Ask an admin to create the account."
        )
    membership = Membership.objects.filter(team=team, person=person).first() or Membership(
        team=team, person=person
    )
    if membership.role == Role.OWNER and role != Role.OWNER:
        _require_another_owner(team, person)
    membership.role = role
    membership.save()
    audit.record(
        actor,
        f"made {person.username} {'an owner' if role == Role.OWNER else 'a member'} of the team",
        team=team,
    )
    return membership


@transaction.atomic
def remove_member(actor: Person, *, team: Team, person: Person) -> None:
    """Remove a person from a team. Owners, admins and the person may do it. The last owner cannot
    be removed."""
    if actor != person:
        require_owner(actor, team)
    membership = Membership.objects.filter(team=team, person=person).first()
    if membership is None:
        raise NotFound(f"{person.username} is not in team {team.name}.")
    if membership.role == Role.OWNER:
        _require_another_owner(team, person)
    membership.delete()
    audit.record(actor, f"removed {person.username} from the team", team=team)


@transaction.atomic
def create_token(actor: Person, *, label: str) -> tuple[Token, str]:
    """Create a token for git and the API. Its text is returned here once and is not stored."""
    label = label.strip()
    if not 1 <= len(label) <= 60:
        raise ValueRefused(
            "A token's label must have 1 to 60 characters.",
            field="label",
            hint="Name the program that will use it, for example laptop.",
        )
    text = _MARK + secrets.token_urlsafe(32)
    token = Token.objects.create(
        person=actor, label=label, prefix=text[:12], digest=digest_of(text)
    )
    audit.record(actor, f"created the token {label}")
    return token, text


@transaction.atomic
def revoke_token(actor: Person, *, token: Token) -> None:
    """Revoke a token: an own token, or as an admin any token."""
    if token.person_id != actor.pk and not actor.is_staff:
        raise NotAllowed("This token belongs to another person.")
    if not Token.objects.filter(pk=token.pk).delete()[0]:
        raise Conflict(f"The token {token.label} is already revoked.")
    audit.record(actor, f"revoked the token {token.label}")


def _require_another_owner(team: Team, person: Person) -> None:
    if not Membership.objects.filter(team=team, role=Role.OWNER).exclude(person=person).exists():
        raise NotAllowed(
            f"{person.username} is the last owner of team {team.name}.",
            hint="Make another member an owner first.",
        )
