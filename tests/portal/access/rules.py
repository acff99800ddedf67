"""The access rules of routes: the roles, the outcome for each role, and the combinations in use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    STRANGER = "not signed in"
    LONER = "no team"
    OTHER = "other team's member"
    MEMBER = "member"
    OWNER = "owner"
    ADMIN = "admin"


class Outcome(StrEnum):
    YES = "yes"
    OWN = "own only"  # a list without the objects of other teams
    SIGN_IN = "sign in"  # a redirect to the sign-in page
    UNKNOWN = "401"
    NO = "403"
    NOT_FOUND = "404"
    NOTICE = "refused"  # the page is shown again with an error message


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The outcome for each role."""

    stranger: Outcome
    loner: Outcome
    other: Outcome
    member: Outcome
    owner: Outcome
    admin: Outcome

    def of(self, role: Role) -> Outcome:
        outcome: Outcome = getattr(self, role.name.lower())
        return outcome


_YES, _OWN, _SIGN_IN, _401, _403, _404, _NOTICE = Outcome


def _rule(*outcomes: Outcome) -> Rule:
    stranger, loner, other, member, owner, admin = outcomes
    return Rule(
        stranger=stranger, loner=loner, other=other, member=member, owner=owner, admin=admin
    )


EVERYONE = _rule(_YES, _YES, _YES, _YES, _YES, _YES)
SIGNED_IN = _rule(_SIGN_IN, _YES, _YES, _YES, _YES, _YES)
SIGNED_IN_LIST = _rule(_SIGN_IN, _OWN, _OWN, _YES, _YES, _OWN)
TEAM = _rule(_SIGN_IN, _404, _404, _YES, _YES, _YES)
TEAM_OWNER = _rule(_SIGN_IN, _404, _404, _NOTICE, _YES, _YES)
THE_PERSON = _rule(_SIGN_IN, _404, _404, _404, _YES, _404)  # with a token of the owner
ADMIN = _rule(_SIGN_IN, _403, _403, _403, _403, _YES)
ADMIN_OF_APP = _rule(_SIGN_IN, _404, _404, _NOTICE, _NOTICE, _YES)
STREAM = _rule(_403, _404, _404, _YES, _YES, _YES)
TOKEN = _rule(_401, _YES, _YES, _YES, _YES, _YES)
TOKEN_LIST = _rule(_401, _OWN, _OWN, _YES, _YES, _OWN)
TOKEN_METRICS = _rule(_401, _OWN, _OWN, _YES, _YES, _YES)
TOKEN_TEAM = _rule(_401, _404, _404, _YES, _YES, _YES)
TOKEN_TEAM_OWNER = _rule(_401, _404, _404, _403, _YES, _YES)
TOKEN_ADMIN_OF_TEAM = _rule(_401, _404, _404, _403, _403, _YES)
TOKEN_NOWHERE = _rule(_401, _404, _404, _404, _404, _404)
NOWHERE = _rule(_404, _404, _404, _404, _404, _404)
