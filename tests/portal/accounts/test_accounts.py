"""People, teams and tokens."""

import pytest
import redis
from django.test import Client

from portal.accounts import attempts
from portal.accounts.access import members_of, person_of_token, team_for, teams_of, tokens_of
from portal.accounts.models import Membership, Person, Role, Token
from portal.activity.models import AuditEntry
from portal.errors import Conflict, NameRefused, NotAllowed, NotFound, ValueRefused
from portal.lifecycle import account_actions
from portal.quotas.models import Quota
from tests.portal.conftest import PASSWORD, People


def test_the_creator_of_a_team_owns_it_and_it_has_a_quota(people: People) -> None:
    team = account_actions.create_team(people.owner, name="green")
    assert [(member.person, member.role) for member in members_of(team)] == [
        (people.owner, Role.OWNER)
    ]
    assert Quota.objects.get(team=team).apps == 10
    assert AuditEntry.objects.filter(
        person=people.owner, team=team, text="created the team green"
    ).exists()


def test_a_team_name_is_unique(people: People) -> None:
    with pytest.raises(NameRefused, match="blue is already in use"):
        account_actions.create_team(people.stranger, name="blue")


def test_people_see_their_own_teams_and_admins_all(people: People) -> None:
    assert list(teams_of(people.owner)) == [people.blue]
    assert team_for(people.admin, "blue") == people.blue
    with pytest.raises(NotFound):
        team_for(people.stranger, "blue")


def test_only_owners_add_people_to_a_team(people: People) -> None:
    account_actions.add_member(people.owner, team=people.blue, username="stranger")
    assert people.blue in teams_of(people.stranger)
    with pytest.raises(NotAllowed):
        account_actions.add_member(people.stranger, team=people.blue, username="keeper")
    with pytest.raises(NotFound, match="Person newcomer does not exist"):
        account_actions.add_member(people.owner, team=people.blue, username="newcomer")


def test_the_last_owner_cannot_be_removed(people: People) -> None:
    with pytest.raises(NotAllowed, match="last owner"):
        account_actions.remove_member(people.owner, team=people.blue, person=people.owner)
    with pytest.raises(NotAllowed, match="last owner"):
        account_actions.add_member(
            people.owner, team=people.blue, username="owner", role=Role.MEMBER
        )
    account_actions.add_member(people.owner, team=people.blue, username="stranger", role=Role.OWNER)
    account_actions.remove_member(people.owner, team=people.blue, person=people.owner)
    assert not teams_of(people.owner).exists()


def test_only_admins_add_people(people: People) -> None:
    with pytest.raises(NotAllowed):
        account_actions.create_person(people.owner, username="newcomer", password="a good long one")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("newcomer", "short"),
        ("newcomer", "1234567890123"),
        ("new comer", "a good long one"),
        ("OWNER", "a good long one"),
    ],
)
def test_weak_passwords_and_used_or_malformed_names_are_refused(
    people: People, name: str, password: str
) -> None:
    with pytest.raises((ValueRefused, NameRefused)):
        account_actions.create_person(people.admin, username=name, password=password)


def test_a_tokens_text_is_stored_nowhere(people: People) -> None:
    token, text = account_actions.create_token(people.owner, label="laptop")
    assert person_of_token(text) == people.owner
    assert text not in str(Token.objects.filter(pk=token.pk).values())
    assert text.startswith(token.prefix)


def test_a_token_that_is_revoked_or_unknown_or_of_an_inactive_person_is_refused(
    people: People,
) -> None:
    token, text = account_actions.create_token(people.owner, label="laptop")
    Person.objects.filter(pk=people.owner.pk).update(is_active=False)
    assert person_of_token(text) is None
    Person.objects.filter(pk=people.owner.pk).update(is_active=True)
    with pytest.raises(NotAllowed):
        account_actions.revoke_token(people.stranger, token=token)
    account_actions.revoke_token(people.owner, token=token)
    assert person_of_token(text) is None
    assert person_of_token("") is None
    with pytest.raises(Conflict):
        account_actions.revoke_token(people.owner, token=token)


def test_the_owner_sees_when_a_token_was_used(people: People) -> None:
    _, text = account_actions.create_token(people.owner, label="laptop")
    assert tokens_of(people.owner)[0].last_used_at is None
    person_of_token(text)
    assert tokens_of(people.owner)[0].last_used_at is not None


def test_a_person_cannot_create_teams_without_limit(people: People) -> None:
    for name in ("green", "grey"):
        account_actions.create_team(people.owner, name=name)
    with pytest.raises(NotAllowed, match="You already own 3 teams"):
        account_actions.create_team(people.owner, name="gold")
    for number in range(4):
        account_actions.create_team(people.admin, name=f"crew-{number}")


def test_signing_in_does_not_need_redis(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = redis.Redis(unix_socket_path="/nonexistent/redis.sock")
    monkeypatch.setattr(attempts, "client", lambda: nowhere)
    assert Client().post("/sign-in", {"username": "owner", "password": PASSWORD}).status_code == 302


@pytest.mark.parametrize(
    ("username", "team"),
    [("mate", "mate"), ("Ada.Lovelace", "ada-lovelace"), ("blue", "blue-team")],
)
def test_a_person_without_a_chosen_team_gets_an_own_team(
    people: People, username: str, team: str
) -> None:
    client = Client()
    client.force_login(people.admin)
    client.post("/admin/people", {"username": username, "password": "ropes and sails 5"})
    membership = Membership.objects.get(person__username=username)
    assert membership.role == Role.OWNER
    assert membership.team.name == team
    client.force_login(membership.person)
    assert "Deploy your first app" in client.get("/").text
    assert "Create a team first" not in client.get("/").text
