"""The network policy of a team, set by admins with a form or the API."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import redis
from django.test import Client

from portal.activity.access import audit_of_team
from portal.errors import NotAllowed, ValueRefused
from portal.metrics.egress import EgressTotals, egress_of
from portal.quotas.access import network_policy_of
from portal.quotas.actions import set_network_policy
from portal.quotas.destinations import MOST, parse
from portal.quotas.models import NetworkPolicy
from tests.portal.conftest import People
from tests.portal.test_api import Caller
from tests.portal.test_queue import queued

WANTED = {
    "egress": "allow-list",
    "destinations": "API.example.com:443\n\n192.0.2.0/24\napi.example.com:443",
    "bandwidth": "10 Mbit/s",
}


def as_admin(people: People) -> Client:
    client = Client()
    client.force_login(people.admin)
    return client


def test_a_team_is_open_until_an_admin_changes_it(people: People) -> None:
    policy = network_policy_of(people.blue)
    assert (policy.egress, policy.lines, policy.builds_open, policy.bandwidth) == (
        "open",
        [],
        False,
        0,
    )


def test_an_admin_sets_a_policy_by_form_and_it_is_audited(people: People) -> None:
    client = as_admin(people)
    answer = client.post("/admin/teams/blue/network", WANTED, follow=True)
    assert "The network policy of blue was saved." in answer.content.decode()
    policy = NetworkPolicy.objects.get(team=people.blue)
    assert (policy.egress, policy.lines, policy.bandwidth) == (
        "allow-list",
        ["api.example.com:443", "192.0.2.0/24"],
        10_000_000,
    )
    assert 'value="10 Mbit/s"' in client.get("/admin/teams/blue").content.decode()
    assert (
        audit_of_team(people.blue)[0].text
        == "set the network policy: egress open → allow-list, allow list +192.0.2.0/24"
        " +api.example.com:443, bandwidth unlimited → 10 Mbit/s"
    )
    client.post("/admin/teams/blue/network", {**WANTED, "substitutes": "on"})
    assert NetworkPolicy.objects.get(team=people.blue).substitutes
    assert (
        audit_of_team(people.blue)[0].text
        == "set the network policy: builds may use stacks instead of base images"
    )
    client.post("/admin/teams/blue/network", {**WANTED, "builds_open": "on", "bandwidth": ""})
    assert (
        "builds may connect to the internet, bandwidth 10 Mbit/s → unlimited"
        in audit_of_team(people.blue)[0].text
    )


def test_only_a_real_change_is_sent_to_the_node(
    committed_people: People, broker: redis.Redis
) -> None:
    people, written = committed_people, audit_of_team(committed_people.blue).count()
    for _ in range(2):
        set_network_policy(
            people.admin,
            team=people.blue,
            egress="none",
            destinations="",
            builds_open=False,
            bandwidth=0,
        )
    assert queued(broker) == [("node", "slipway.apply_quota", [people.blue.pk])]
    assert audit_of_team(people.blue).count() == written + 1


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("egress", "some", "Select a valid choice"),
        ("bandwidth", "fast", "Invalid bandwidth: fast"),
        ("bandwidth", "1k", "The bandwidth cannot be 1 kbit/s"),
        ("destinations", "*.example.com", "addresses of a wildcard cannot be looked up"),
        ("destinations", "", "The allow list is empty"),
        ("destinations", "example.com } ; flush ruleset", "is not valid"),
    ],
)
def test_a_wrong_value_is_shown_at_its_field_and_nothing_is_set(
    people: People, field: str, value: str, words: str
) -> None:
    answer = as_admin(people).post("/admin/teams/blue/network", {**WANTED, field: value})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not NetworkPolicy.objects.exists()


def test_only_admins_set_it(people: People) -> None:
    with pytest.raises(NotAllowed):
        set_network_policy(
            people.owner,
            team=people.blue,
            egress="open",
            destinations="",
            builds_open=True,
            bandwidth=0,
        )
    client = Client()
    client.force_login(people.owner)
    assert client.post("/admin/teams/blue/network", WANTED).status_code in (403, 404)
    status, _ = Caller(people.token(people.owner))("put", "/teams/blue/network", {"egress": "open"})
    assert status == 403
    assert not NetworkPolicy.objects.exists()


def test_the_api_shows_a_policy_to_members_and_sets_it_for_admins(
    people: People, broker: redis.Redis
) -> None:
    admin, owner, stranger = (
        Caller(people.token(person)) for person in (people.admin, people.owner, people.stranger)
    )
    wanted = {
        "egress": "allow-list",
        "destinations": ["example.com"],
        "builds_open": True,
        "substitutes": True,
        "bandwidth": 1_000_000,
    }
    assert admin("put", "/teams/blue/network", wanted)[0] == 200
    status, shown = owner("get", "/teams/blue/network")
    assert (status, shown) == (200, {**wanted, "sent_this_month": 0, "received_this_month": 0})
    assert stranger("get", "/teams/blue/network")[0] == 404
    status, refused = admin(
        "put", "/teams/blue/network", {"egress": "allow-list", "destinations": ["a b"]}
    )
    assert status == 400
    assert "'a b' is not valid" in refused["error"]


def test_the_team_page_shows_the_egress_of_this_month(people: People, broker: redis.Redis) -> None:
    broker.hset(
        f"slipway:egress:{datetime.now(UTC):%Y-%m}",
        str(people.blue.pk),
        json.dumps([3 * 2**30, 2**20]),
    )
    broker.hset("slipway:egress:2020-01", str(people.blue.pk), json.dumps([7, 7]))
    client = Client()
    client.force_login(people.owner)
    page = client.get("/team/blue").content.decode()
    assert "3 GiB sent, 1 MiB received" in page
    assert "Open: any address outside" in page
    assert egress_of(people.red) == EgressTotals()


def test_the_longest_allow_list_is_accepted(people: People) -> None:
    parse("\n".join(f"h{number}.example.com" for number in range(MOST)))
    with pytest.raises(ValueRefused, match="The allow list has 201 lines. The maximum is 200"):
        parse("\n".join(f"h{number}.example.com" for number in range(MOST + 1)))
