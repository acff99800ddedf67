"""Tests of the real network, from both sides.

Traffic stays on loopback and in namespaces made here.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.errors import NetworkRefused
from runtime.kernel import Kernel
from runtime.network import firewall, namespaces
from runtime.network.floods import FloodLimits
from runtime.network.links import Network
from tests.runtime.network.conftest import HIDDEN, HOST, OUTSIDE, World, config_of, run

NS_GET_USERNS = 0xB701  # ioctl_ns(2)


def test_a_container_reaches_the_outside_with_the_address_of_this_host(world: World):
    inside = world.attach("one")
    world.peer(world.outside, "listen", 7000)
    assert world.ask(inside.netns, "connect", OUTSIDE, 7000) == f"open {HOST}"


def test_this_host_reaches_a_container_at_once(world: World):
    inside = world.attach("one")
    world.peer(inside.netns, "listen", 80)
    started = time.perf_counter()
    assert world.ask(None, "connect", inside.address, 80) == f"open {inside.gateway}"
    assert time.perf_counter() - started < 1, "the host sent an ARP request and the answer was late"


def test_the_outside_cannot_reach_a_container_even_with_a_route(world: World):
    inside = world.attach("one")
    world.peer(inside.netns, "listen", 7000)
    assert world.ask(None, "connect", inside.address, 7000).startswith("open")
    assert world.ask(world.outside, "connect", inside.address, 7000) == "refused"


def test_one_container_cannot_reach_another(world: World):
    first, second = world.attach("one"), world.attach("two")
    world.peer(second.netns, "listen", 7000)
    assert world.ask(first.netns, "connect", second.address, 7000) == "refused"


def test_a_container_with_a_direct_route_cannot_reach_another_either(world: World):
    first, second = world.attach("one"), world.attach("two")
    world.peer(second.netns, "listen", 7000)
    enter = ["nsenter", f"--net={first.netns}", "ip"]
    run(*enter, "route", "add", f"{second.address}/32", "dev", "eth0")
    run(
        *enter,
        "neigh",
        "replace",
        str(second.address),
        "lladdr",
        _mac(world, second.address),
        "dev",
        "eth0",
        "nud",
        "permanent",
    )
    # Refused with bridge-nf-call-iptables.
    assert world.ask(first.netns, "connect", second.address, 7000) in ("silence", "refused")


def test_containers_cannot_reach_the_services_of_this_host(world: World):
    inside = world.attach("one")
    world.peer(None, "listen", 7123)
    assert world.ask(None, "connect", inside.gateway, 7123).startswith("open")
    for address in (inside.gateway, HOST):
        assert world.ask(inside.netns, "connect", address, 7123) == "refused"


def test_containers_cannot_reach_metadata_services(world: World):
    inside = world.attach("one")
    world.peer(world.outside, "listen", 7000)
    rule = ["from", str(world.config.network), "to", HIDDEN, "lookup", "7177"]
    run("ip", "route", "add", f"{HIDDEN}/32", "via", OUTSIDE, "table", "7177")
    world.stack.callback(run, "ip", "route", "flush", "table", "7177")
    run("ip", "rule", "add", *rule)
    world.stack.callback(run, "ip", "rule", "del", *rule)
    assert world.ask(inside.netns, "connect", OUTSIDE, 7000).startswith("open")
    assert world.ask(inside.netns, "connect", HIDDEN, 7000) == "refused"
    assert world.ask(inside.netns, "connect", "100.100.100.200", 80) == "refused"


def test_one_container_cannot_fill_the_connection_table_of_the_host(world: World):
    limits = FloodLimits(openings=100_000, openings_burst=100_000)
    world.renew(limits=limits)
    first, second = world.attach("one"), world.attach("two")
    world.peer(world.outside, "listen", 7000)
    world.ask(first.netns, "flood", OUTSIDE, limits.flows + 100)
    assert world.ask(first.netns, "connect", OUTSIDE, 7000) == "refused"
    assert world.ask(second.netns, "connect", OUTSIDE, 7000).startswith("open")
    world.peer(first.netns, "listen", 80)
    assert world.ask(None, "connect", first.address, 80).startswith("open")


def test_a_forged_source_address_is_dropped(world: World):
    first, second = world.attach("one"), world.attach("two")
    receiver = world.peer(world.outside, "listen-udp", 7000)
    for address in (second.address, "203.0.113.9"):
        run("nsenter", f"--net={first.netns}", "ip", "addr", "add", f"{address}/32", "dev", "lo")
        world.ask(first.netns, "send-as", address, OUTSIDE, 7000)
    # The correct address arrives, and is the first to arrive.
    world.ask(first.netns, "send-as", first.address, OUTSIDE, 7000)
    assert receiver.stdout.readline().decode().strip() == f"{HOST} hello"
    receiver.kill()
    assert receiver.stdout.read() == b""


def test_a_forged_hardware_address_is_dropped(world: World):
    container = world.attach("one")
    world.peer(world.outside, "listen", 7000)
    enter = ["nsenter", f"--net={container.netns}", "ip", "link", "set", "eth0"]
    run(*enter, "address", "02:53:00:00:00:99")
    assert world.ask(container.netns, "connect", OUTSIDE, 7000) != f"open {HOST}"


def test_ipv6_exists_only_on_loopback(world: World):
    inside = world.attach("one")
    rows = run("nsenter", f"--net={inside.netns}", "ip", "-6", "-o", "addr")
    assert [row.split()[1] for row in rows.splitlines()] == ["lo"]


def test_the_namespace_belongs_to_the_containers_user_namespace(world: World):
    inside = world.attach("one")
    fd = os.open(inside.netns, os.O_RDONLY)
    owner = fcntl.ioctl(fd, NS_GET_USERNS)
    try:
        assert os.fstat(owner).st_ino == world.userns.stat().st_ino
    finally:
        os.close(owner)
        os.close(fd)


def test_attaching_again_or_from_a_new_process_gives_the_same_address(world: World):
    first = world.attach("one")
    assert world.attach("one") == first
    again = Network(world.config)
    assert again.attach("one", world.userns) == first
    assert again.attachments() == {"one": first}


@pytest.mark.parametrize("killed_after", ["lease", "namespace", "link"])
def test_an_interrupted_attach_is_completed_by_the_next(world: World, killed_after: str):
    whole = world.attach("one")
    match killed_after:
        case "lease":
            run("ip", "link", "del", whole.interface)
            namespaces.remove(world.network._kernel, whole.netns)
        case "namespace":
            run("ip", "link", "del", whole.interface)
        case "link":
            run("ip", "link", "set", whole.interface, "nomaster", "down")
    assert world.attach("one") == whole
    world.peer(whole.netns, "listen", 7000)
    assert world.ask(None, "connect", whole.address, 7000).startswith("open")


def test_detaching_twice_or_an_unknown_container_succeeds(world: World):
    world.attach("one")
    world.network.detach("one")
    world.network.detach("one")
    world.network.detach("never")
    assert world.network.attachments() == {}


def test_thirty_containers_come_and_go_and_leave_nothing(world: World):
    world.attach("warm-up")
    world.network.detach("warm-up")
    before = _traces(world)
    for number in range(30):
        world.attach(f"c{number}")
        if number >= 2:
            world.network.detach(f"c{number - 2}")
    for number in (28, 29):
        world.network.detach(f"c{number}")
    assert _traces(world) == before


def test_preparing_again_keeps_old_connections_and_allows_new_ones(world: World):
    inside = world.attach("one")
    world.peer(world.outside, "listen", 7000)
    held = world.peer(inside.netns, "hold", OUTSIDE, 7000)
    assert held.first == f"open {HOST}"
    for round_trip in (b"before\n", b"after\n", b"after that\n"):
        held.stdin.write(round_trip)
        held.stdin.flush()
        assert held.stdout.readline() == round_trip
        Network(world.config).prepare()
    assert world.ask(inside.netns, "connect", OUTSIDE, 7000) == f"open {HOST}"


def test_two_nodes_are_independent(world: World, tmp_path: Path):
    mine = world.attach("one")
    other = Network(config_of(tmp_path))
    other.prepare()
    try:
        theirs = other.attach("one", world.userns)
        world.peer(mine.netns, "listen", 7000)
        world.peer(world.outside, "listen", 7000)
        assert world.ask(theirs.netns, "connect", OUTSIDE, 7000) == f"open {HOST}"
        assert world.ask(theirs.netns, "connect", mine.address, 7000) == "refused"
    finally:
        other.tear_down()
    assert world.ask(mine.netns, "connect", OUTSIDE, 7000) == f"open {HOST}"
    assert world.ask(None, "connect", mine.address, 7000).startswith("open")


def test_tearing_down_leaves_the_machine_unchanged(tmp_path: Path, world: World):
    config = config_of(tmp_path)
    before = _machine(config)
    network = Network(config)
    network.prepare()
    network.attach("one", world.userns)
    assert _machine(config) != before
    network.tear_down()
    network.tear_down()
    assert _machine(config) == before


def test_a_range_that_is_in_use_is_refused_with_a_remedy(tmp_path: Path, world: World):
    with pytest.raises(NetworkRefused, match=r"overlaps .* on ") as caught:
        Network(config_of(tmp_path, world.config.network)).prepare()
    assert "SLIPWAY_NETWORK" in caught.value.hint


def test_an_invalid_user_namespace_is_reported(world: World, tmp_path: Path):
    wrong = tmp_path / "wrong"
    wrong.touch()
    with pytest.raises(NetworkRefused, match="Could not create a network namespace"):
        world.network.attach("one", wrong)
    world.network.detach("one")
    assert world.network.attachments() == {}


def test_rules_that_the_kernel_refuses_are_reported():
    with pytest.raises(NetworkRefused, match="did not accept"):
        firewall.apply("add rule inet nowhere nothing drop\n")
    with pytest.raises(NetworkRefused, match=r"did not accept.*No such file"):
        firewall.amend(Kernel(), "add element bridge nowhere senders { 1 }\n")


def _mac(world: World, address: object) -> str:
    rows = run("ip", "neigh", "show", "dev", world.config.bridge).splitlines()
    return next(row.split()[2] for row in rows if row.split()[0] == str(address))


def _traces(world: World) -> dict[str, object]:
    return {
        "links": sorted(Path("/sys/class/net").glob(f"{world.config.name}*")),
        "pins": sorted((world.config.run / "netns").iterdir()),
        "mounts": len(
            [
                line
                for line in Path("/proc/self/mountinfo").read_text().splitlines()
                if str(world.config.run) in line
            ]
        ),
        "rules": run("nft", "list", "table", "bridge", world.config.name),
        "neighbours": run("ip", "neigh", "show", "dev", world.config.bridge, "nud", "permanent"),
        "leases": world.network.attachments(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }


def _machine(config: NodeConfig) -> dict[str, set[str]]:
    """Return the kernel objects of this node.

    Other tests create and remove their own at the same time.
    """
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {
        "links": {
            path.name
            for path in Path("/sys/class/net").iterdir()
            if path.name.startswith(config.name)
        },
        "tables": {
            table for table in run("nft", "list", "tables").splitlines() if config.name in table
        },
        "mounts": {
            mount for mount in mounts if mount.startswith((f"{config.run}/", f"{config.state}/"))
        },
        "routes": {route for route in run("ip", "route").splitlines() if config.name in route},
    }


def test_a_damaged_list_of_addresses_is_reported_with_its_remedy(world: World):
    inside = world.attach("one")
    leases = world.config.state / "network" / "leases.json"
    whole = leases.read_bytes()
    leases.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NetworkRefused, match=r"leases\.json is damaged") as caught:
        world.attach("two")
    assert "make down" in caught.value.hint
    leases.write_bytes(whole)
    assert world.attach("one") == inside
