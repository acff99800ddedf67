"""Tests of a team's egress policy, from inside its containers."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from runtime.errors import NetworkRefused
from runtime.network.leases import Owner
from runtime.network.links import Network
from runtime.network.policy import Destination, EgressPolicy, NetworkPolicy
from tests.runtime.network.conftest import HOST, OUTSIDE, World, run

TEAM, OTHER = 7, 8
ELSEWHERE = "198.18.77.9"  # a second outside address


def allowing(*lines: str, builds_open: bool = False) -> NetworkPolicy:
    return NetworkPolicy(
        egress=EgressPolicy.ALLOW_LIST,
        destinations=tuple(map(Destination.parse, lines)),
        builds_open=builds_open,
    )


NONE = NetworkPolicy(egress=EgressPolicy.NONE)


def reaches(world: World, inside: object, port: int = 7000, host: str = OUTSIDE) -> bool:
    answer = world.ask(inside.netns, "connect", host, port)
    assert answer in ("refused", f"open {HOST}"), answer  # immediately, and never without an answer
    return answer != "refused"


def test_a_team_without_a_policy_reaches_everything_outside(world: World):
    world.peer(world.outside, "listen", 7000)
    assert reaches(world, world.attach("one", team=TEAM))


def test_a_team_without_egress_reaches_nothing_and_answers_the_router(world: World):
    world.renew(resolvers=lambda: [IPv4Address(OUTSIDE), IPv4Address(HOST)])
    for place in (world.outside, None):
        world.peer(place, "listen", 53)
    world.peer(world.outside, "listen", 7000)
    inside, neighbour = world.attach("one", team=TEAM), world.attach("two", team=OTHER)
    world.network.set_policy(TEAM, NONE)
    assert not reaches(world, inside)
    assert not reaches(world, inside, port=53)
    assert world.ask(inside.netns, "connect", HOST, 53) == "refused"
    assert world.ask(neighbour.netns, "connect", HOST, 53) == f"open {neighbour.address}"
    world.peer(inside.netns, "listen", 80)
    assert world.ask(None, "connect", inside.address, 80) == f"open {inside.gateway}"
    assert reaches(world, neighbour), "the policy does not apply to another team"


def test_a_new_policy_ends_open_connections(world: World):
    inside = world.attach("one", team=TEAM)
    world.peer(world.outside, "listen", 7000)
    held = world.peer(inside.netns, "hold", OUTSIDE, 7000)
    held.stdin.write(b"before\n")
    held.stdin.flush()
    assert held.stdout.readline() == b"before\n"
    world.network.set_policy(TEAM, NONE)
    held.stdin.write(b"after\n")
    held.stdin.flush()
    assert held.stdout.readline() == b""
    assert held.wait(5) != 0, "the program inside received a reset"
    world.network.set_policy(TEAM, NetworkPolicy())
    assert reaches(world, inside)


def test_an_allow_list_allows_listed_networks_and_ports_only(world: World):
    inside = world.attach("one", team=TEAM)
    for port in (7000, 7001, 7005):
        world.peer(world.outside, "listen", port)
    cases = {
        f"{OUTSIDE}": (True, True, True),
        "198.18.77.0/24": (True, True, True),
        f"{OUTSIDE}:7000": (True, False, False),
        "198.18.77.0/30:7001-7005": (False, True, True),
        f"{ELSEWHERE}": (False, False, False),
        "198.18.78.0/24": (False, False, False),
    }
    for line, expected in cases.items():
        world.network.set_policy(TEAM, allowing(line))
        assert tuple(reaches(world, inside, port) for port in (7000, 7001, 7005)) == expected, line
    # Overlapping entries.
    world.network.set_policy(
        TEAM, allowing(f"{OUTSIDE}:7000", "198.18.77.0/24:7000", f"{OUTSIDE}:7001")
    )
    assert tuple(reaches(world, inside, port) for port in (7000, 7001, 7005)) == (True, True, False)


def test_an_allow_list_allows_dns_queries_to_the_name_servers_only(world: World):
    world.renew(resolvers=lambda: [IPv4Address(OUTSIDE), IPv4Address(HOST)])
    world.peer(world.outside, "listen", 53)
    world.peer(None, "listen", 53)
    world.peer(world.outside, "listen", 7000)
    inside = world.attach("one", team=TEAM)
    world.network.set_policy(TEAM, allowing("192.0.2.1"))
    assert reaches(world, inside, port=53)
    assert world.ask(inside.netns, "connect", HOST, 53) == f"open {inside.address}"
    assert not reaches(world, inside, port=7000)
    world.renew(resolvers=lambda: [IPv4Address("192.0.2.53")])
    assert not reaches(world, inside, port=53)


def test_a_listed_name_allows_the_addresses_it_resolves_to(world: World):
    answers: dict[str, list[str]] = {"api.test": [ELSEWHERE]}
    clock = [1000.0]
    world.renew(
        lookup=lambda name: [IPv4Address(text) for text in answers.get(name, ())],
        clock=lambda: clock[0],
    )
    inside = world.attach("one", team=TEAM)
    world.peer(world.outside, "listen", 7000)
    world.network.set_policy(TEAM, allowing("api.test:7000"))
    assert not reaches(world, inside), "the name has not been resolved yet"
    world.network.refresh_names()
    assert not reaches(world, inside), "it resolves to another address"
    answers["api.test"] = [OUTSIDE]
    world.network.refresh_names()
    assert reaches(world, inside)
    answers["api.test"] = [ELSEWHERE]  # as a resolver with rotating answers
    clock[0] += 3599
    world.network.refresh_names()
    assert reaches(world, inside)
    clock[0] += 2
    world.network.refresh_names()
    assert not reaches(world, inside), "the address was not in an answer for an hour"
    answers["api.test"] = [OUTSIDE]
    world.network.refresh_names()
    answers.clear()  # the resolver does not answer
    clock[0] += 7200
    world.network.refresh_names()
    assert reaches(world, inside)


def test_a_name_that_resolves_to_private_or_metadata_addresses_is_ignored(world: World):
    wrong = [
        "10.0.0.7",
        "127.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
    ]
    world.renew(lookup=lambda _: [IPv4Address(text) for text in (*wrong, OUTSIDE)])
    world.network.set_policy(TEAM, allowing("evil.test"))
    world.network.refresh_names()
    rules = run("nft", "list", "chain", "inet", world.config.name, f"team-{TEAM}-egress")
    assert f"ip daddr {OUTSIDE} return" in rules
    assert not [address for address in wrong if address in rules]
    # An address that an admin lists explicitly is allowed.
    world.network.set_policy(TEAM, allowing("10.0.0.7"))
    assert "ip daddr 10.0.0.7 return" in run(
        "nft", "list", "chain", "inet", world.config.name, f"team-{TEAM}-egress"
    )


def test_metadata_stays_closed_regardless_of_the_allow_list(world: World):
    inside = world.attach("one", team=TEAM)
    world.network.set_policy(TEAM, allowing("0.0.0.0/0"))
    world.peer(world.outside, "listen", 7000)
    world.peer(None, "listen", 7123)
    assert reaches(world, inside)
    for host, port in (("169.254.169.254", 80), (HOST, 7123), (str(inside.gateway), 7123)):
        assert world.ask(inside.netns, "connect", host, port) == "refused"


@pytest.mark.parametrize("builds_open", [False, True])
def test_builds_follow_the_policy_unless_they_are_exempt(world: World, builds_open: bool):
    build = world.attach("build", team=TEAM, build=True)
    instance = world.attach("instance", team=TEAM)
    world.peer(world.outside, "listen", 7000)
    world.network.set_policy(TEAM, NetworkPolicy(egress=EgressPolicy.NONE, builds_open=builds_open))
    assert reaches(world, build) == builds_open
    assert not reaches(world, instance)


def test_a_policy_survives_its_process_and_new_rules(world: World):
    world.peer(world.outside, "listen", 7000)
    inside = world.attach("one", team=TEAM)
    world.network.set_policy(TEAM, NONE)
    world.renew()
    assert not reaches(world, inside)
    later = world.attach("two", team=TEAM)
    assert not reaches(world, later)
    world.network.detach("one")
    world.network.detach("two")
    world.renew()
    assert not reaches(world, world.attach("three", team=TEAM)), (
        "it applies to the first container, too"
    )


def test_a_container_of_an_older_version_gets_its_team_on_preparation(world: World):
    inside = world.attach("one")
    world.network.set_policy(TEAM, NONE)
    world.peer(world.outside, "listen", 7000)
    assert reaches(world, inside)
    world.network.prepare({"one": Owner(team=TEAM, app="app")})
    assert not reaches(world, inside)


def test_a_damaged_list_of_policies_is_reported_with_its_remedy(world: World):
    world.network.set_policy(TEAM, NONE)
    file = world.config.state / "network" / "policies.json"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(NetworkRefused, match=r"policies\.json is damaged") as caught:
        Network(world.config).prepare()
    assert "Delete the file" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "", "a b", "*.example.com", "example.com:0", "example.com:70000", "example.com:90-80",
        "10.0.0.1/8", "10.0.0.256", "::1", "1.2.3",
        "http://example.com", "example.com }", "a..b", "-a.com", "a" * 254, "example.com:80:90",
        "10.0.0.0/33", "exämple.com", "a\nb",
    ],
)  # fmt: skip
def test_an_invalid_destination_is_reported(text: str):
    with pytest.raises(ValueError, match="is not|has a wildcard"):
        Destination.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "example.com",
        "example.com:443",
        "192.0.2.7",
        "192.0.2.0/24:5000-5100",
        "db",
        "_x.example.com",
    ],
)
def test_a_destination_is_read_back_as_it_was_written(text: str):
    assert str(Destination.parse(text)) == text
    policy = allowing(text, builds_open=True)
    assert NetworkPolicy.from_document(policy.to_document()) == policy


def test_an_unchanged_policy_does_not_change_the_rules(world: World):
    world.network.set_policy(TEAM, NONE)
    file = world.config.state / "network" / "policies.json"
    before = file.stat().st_ino
    world.network.set_policy(TEAM, NONE)
    assert file.stat().st_ino == before
