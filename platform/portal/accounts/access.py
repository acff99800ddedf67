"""The only way to teams, tokens and people."""

from __future__ import annotations

import copy
import hashlib
from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from portal.accounts.models import Membership, Person, Role, Team, Token
from portal.dataversion import Kept
from portal.errors import NotAllowed, NotFound

_TOUCH_AFTER = timedelta(minutes=1)  # so that a busy program costs no write a request
_tokens: Kept[Token | None] = Kept(most=1024)  # any change to a token or a person is a new version of the database


def teams_of(person: Person) -> QuerySet[Team]:
    """The teams they are a member of, by name."""
    return Team.objects.filter(memberships__person=person).order_by("name")


def team_for(person: Person, name: str) -> Team:
    """One team by name: theirs, or any for an admin. NotFound otherwise."""
    teams = Team.objects.all() if person.is_staff else teams_of(person)
    team = teams.filter(name=name).first()
    if team is None:
        raise NotFound(f"There is no team {name} that you are in.", hint="Ask its owner to add you.")
    return team


def is_member(person: Person, team: Team) -> bool:
    """Members and admins may work on a team's apps."""
    return person.is_active and (person.is_staff or Membership.objects.filter(person=person, team=team).exists())


def require_member(person: Person, team: Team) -> None:
    """NotAllowed unless `is_member`."""
    if not is_member(person, team):
        raise NotAllowed(f"You are not in team {team.name}.", hint="Ask its owner to add you.")


def require_owner(person: Person, team: Team) -> None:
    """NotAllowed unless they own the team or are an admin."""
    if not person.is_staff and not Membership.objects.filter(person=person, team=team, role=Role.OWNER).exists():
        raise NotAllowed(f"Only an owner of team {team.name} may do that.")


def require_admin(person: Person) -> None:
    """NotAllowed unless they are an admin of the box."""
    if not (person.is_active and person.is_staff):
        raise NotAllowed("Only an admin of this Slipway may do that.", hint=f"Admins: {admin_names()}.")


def members_of(team: Team) -> QuerySet[Membership]:
    """Who is in a team, owners first."""
    return Membership.objects.filter(team=team).select_related("person").order_by("-role", "person__username")


def admins() -> QuerySet[Person]:
    """Who may raise a quota."""
    return Person.objects.filter(is_staff=True, is_active=True).order_by("username")


def admin_names() -> str:
    """For a sentence: "ada, grace"."""
    return ", ".join(admins().values_list("username", flat=True)) or "none yet; the machine's owner makes one with manage.py create_admin"


def tokens_of(person: Person) -> QuerySet[Token]:
    """Their tokens, newest first."""
    return Token.objects.filter(person=person).order_by("-created_at")


def token_for(person: Person, number: int) -> Token:
    """One of their tokens by row id."""
    token = tokens_of(person).filter(pk=number).first()
    if token is None:
        raise NotFound("There is no such token of yours.")
    return token


def digest_of(text: str) -> str:
    """What is kept of a token. Tokens are random and long, so a plain hash does."""
    return hashlib.sha256(text.encode()).hexdigest()


def person_of_token(text: str) -> Person | None:
    """Whose token this is; None for an unknown or revoked one, or an inactive person's."""
    digest = digest_of(text.strip())
    token = _tokens.get(digest, lambda: _token_of(digest))
    if token is None:
        return None
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > _TOUCH_AFTER:
        Token.objects.filter(pk=token.pk).update(last_used_at=now)
    return copy.copy(token.person)


def _token_of(digest: str) -> Token | None:
    return Token.objects.select_related("person").filter(digest=digest, person__is_active=True).first()
