"""Read teams, tokens and people. Other modules get them only from here."""

from __future__ import annotations

import copy
import hashlib
from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from portal.accounts.models import Membership, Person, Role, Team, Token
from portal.dataversion import DatabaseCache
from portal.errors import NotAllowed, NotFound

_TOUCH_AFTER = timedelta(minutes=1)  # avoids a database write for every request of a busy program
# a change of any token or person changes the version of the database
_tokens: DatabaseCache[Token | None] = DatabaseCache(most=1024)


def teams_of(person: Person) -> QuerySet[Team]:
    """Return the teams that the person is a member of, by name."""
    return Team.objects.filter(memberships__person=person).order_by("name")


def team_for(person: Person, name: str) -> Team:
    """Return a team by name: a team of the person, or any team for an admin. Raise NotFound
    otherwise."""
    teams = Team.objects.all() if person.is_staff else teams_of(person)
    team = teams.filter(name=name).first()
    if team is None:
        raise NotFound(
            f"Team {name} does not exist, or you are not a member.",
            hint="Ask its owner to add you.",
        )
    return team


def is_member(person: Person, team: Team) -> bool:
    """Return True for members of the team and for admins. They may work on its apps."""
    return person.is_active and (
        person.is_staff or Membership.objects.filter(person=person, team=team).exists()
    )


def require_member(person: Person, team: Team) -> None:
    """Raise NotAllowed unless `is_member`."""
    if not is_member(person, team):
        raise NotAllowed(f"You are not in team {team.name}.", hint="Ask its owner to add you.")


def require_owner(person: Person, team: Team) -> None:
    """Raise NotAllowed unless the person owns the team or is an admin."""
    if (
        not person.is_staff
        and not Membership.objects.filter(person=person, team=team, role=Role.OWNER).exists()
    ):
        raise NotAllowed(f"Only an owner of team {team.name} may do that.")


def require_admin(person: Person) -> None:
    """Raise NotAllowed unless the person is an admin."""
    if not (person.is_active and person.is_staff):
        raise NotAllowed(
            "Only an admin of this Slipway may do that.", hint=f"Admins: {admin_names()}."
        )


def members_of(team: Team) -> QuerySet[Membership]:
    """Return the members of a team, owners first."""
    return (
        Membership.objects.filter(team=team)
        .select_related("person")
        .order_by("-role", "person__username")
    )


def admins() -> QuerySet[Person]:
    """Return the active admins, by name."""
    return Person.objects.filter(is_staff=True, is_active=True).order_by("username")


def admin_names() -> str:
    """Return the admins' names for a sentence, such as "ada, grace"."""
    return (
        ", ".join(admins().values_list("username", flat=True))
        or "none yet; create one with manage.py create_admin"
    )


def tokens_of(person: Person) -> QuerySet[Token]:
    """Return the person's tokens, newest first."""
    return Token.objects.filter(person=person).order_by("-created_at")


def token_for(person: Person, number: int) -> Token:
    """Return one of the person's tokens by row id. Raise NotFound otherwise."""
    token = tokens_of(person).filter(pk=number).first()
    if token is None:
        raise NotFound("You have no such token.")
    return token


def digest_of(text: str) -> str:
    """Return the hash that is stored for a token. Tokens are long and random, so a plain hash is
    enough."""
    return hashlib.sha256(text.encode()).hexdigest()


def person_of_token(text: str) -> Person | None:
    """Return the owner of a token, or None if the token is unknown or revoked or the person is
    inactive."""
    digest = digest_of(text.strip())
    token = _tokens.get(digest, lambda: _token_of(digest))
    if token is None:
        return None
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > _TOUCH_AFTER:
        Token.objects.filter(pk=token.pk).update(last_used_at=now)
    return copy.copy(token.person)


def _token_of(digest: str) -> Token | None:
    return (
        Token.objects.select_related("person").filter(digest=digest, person__is_active=True).first()
    )
