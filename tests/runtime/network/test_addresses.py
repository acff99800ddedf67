"""Pure tests of address allocation, name servers and firewall rules."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import NetworkRefused
from runtime.network.addresses import gateway, hardware_address, interface_name, next_address
from runtime.network.firewall import ruleset
from runtime.network.floods import FloodLimits
from runtime.network.leases import Leases
from runtime.network.names import name_servers, reachable_name_servers

SMALL = IPv4Network("10.9.0.0/28")


@given(st.sets(st.integers(2, 14)), st.one_of(st.none(), st.integers(0, 20)))
def test_the_next_address_is_a_free_one_of_the_network(taken: set[int], last: int | None):
    used = {SMALL[0] + number for number in taken}
    before = SMALL[0] + last if last is not None else None
    if len(used) == 13:
        with pytest.raises(NetworkRefused, match="All addresses"):
            next_address(SMALL, used, before)
        return
    chosen = next_address(SMALL, used, before)
    assert chosen in SMALL
    assert chosen not in used | {gateway(SMALL), SMALL.network_address, SMALL.broadcast_address}


def test_a_released_address_is_not_reused_at_once(tmp_path: Path):
    leases = Leases(tmp_path, node="t", network=SMALL)
    first = leases.take("one")
    leases.drop("one")
    assert leases.take("two").address == first.address + 1


def test_addresses_are_reused_after_a_full_round(tmp_path: Path):
    leases = Leases(tmp_path, node="t", network=SMALL)
    seen = []
    for number in range(40):
        lease = leases.take(f"c{number}")
        seen.append(lease)
        leases.drop(f"c{number}")
    assert len({lease.address for lease in seen}) == 13
    assert len({lease.interface for lease in seen}) == 40


def test_a_lease_survives_the_end_of_its_process(tmp_path: Path):
    lease = Leases(tmp_path, node="t", network=SMALL).take("one")
    assert Leases(tmp_path, node="t", network=SMALL).all() == {"one": lease}


def test_interface_names_fit_the_kernel():
    assert interface_name("slipway1", 16**6 - 1) == "slipway1-ffffff"
    assert len(interface_name("slipway1", 16**6 + 5)) <= 15


def test_every_address_has_its_own_hardware_address():
    assert hardware_address(IPv4Address("10.210.1.255")) == "02:53:0a:d2:01:ff"


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver 10.0.0.53\n", ["10.0.0.53"]),
        ("# nameserver 1.1.1.1\nsearch x\nnameserver 127.0.0.53\noptions edns0\n", []),
        (
            "nameserver ::1\nnameserver fd00::1\nnameserver 192.0.2.1 # here\nnameserver\n",
            ["192.0.2.1"],
        ),
        ("nameserver 0.0.0.0\nnameserver nonsense\n", []),
        ("", []),
    ],
)
def test_only_reachable_name_servers_are_given_to_a_container(text: str, servers: list[str]):
    assert reachable_name_servers(text) == tuple(map(IPv4Address, servers))


def test_the_upstream_of_a_loopback_resolver_is_used(tmp_path: Path):
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    (tmp_path / "upstream").write_text("nameserver 192.0.2.9\n")
    assert name_servers(tmp_path / "resolv.conf", tmp_path / "upstream") == (
        IPv4Address("192.0.2.9"),
    )
    assert name_servers(tmp_path / "resolv.conf", tmp_path / "none") == ()


def test_only_a_resolver_on_this_host_opens_a_port_on_it():
    def rules(*resolvers: str) -> str:
        addresses = [IPv4Address(text) for text in resolvers]
        text = ruleset(
            node="t",
            bridge="t0",
            network=SMALL,
            local_resolvers=addresses,
            leases=(),
            policies={},
            known={},
            resolvers=(),
            limits=FloodLimits(),
        )
        return text.partition("chain from_containers_to_host")[2].partition("}\n  chain")[0]

    assert "dport" not in rules()
    assert "ip daddr { 192.0.2.2 } meta l4proto { tcp, udp } th dport 53 accept" in rules(
        "192.0.2.2"
    )
