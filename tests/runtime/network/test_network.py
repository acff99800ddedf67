"""The real network, seen from both sides. Traffic stays on loopback and in namespaces made here."""

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


def test_a_container_gets_out_and_is_seen_there_as_this_host(world: World):
    inside = world.attach("one")
    world.peer(world.outside, "listen", 7000)
    assert world.ask(inside.netns, "connect", OUTSIDE, 7000) == f"open {HOST}"


def test_this_host_gets_in_at_once(world: World):
    inside = world.attach("one")
    world.peer(inside.netns, "listen", 80)
    started = time.perf_counter()
    assert world.ask(None, "connect", inside.address, 80) == f"open {inside.gateway}"
    assert time.perf_counter() - started < 1, "an address was asked for by ARP and the answer came late"


def test_nobody_outside_gets_in_even_with_a_route(world: World):
    inside = world.attach("one")
    world.peer(inside.netns, "listen", 7000)
    assert world.ask(None, "connect", inside.address, 7000).startswith("open")
    assert world.ask(world.outside, "connect", inside.address, 7000) == "refused"


def test_one_container_does_not_reach_another(world: World):
    one, two = world.attach("one"), world.attach("two")
    world.peer(two.netns, "listen", 7000)
    assert world.ask(one.netns, "connect", two.address, 7000) == "refused"


def test_a_container_that_puts_its_neighbour_on_its_own_wire_does_not_reach_it_either(world: World):
    one, two = world.attach("one"), world.attach("two")
    world.peer(two.netns, "listen", 7000)
    enter = ["nsenter", f"--net={one.netns}", "ip"]
    run(*enter, "route", "add", f"{two.address}/32", "dev", "eth0")
    run(*enter, "neigh", "replace", str(two.address), "lladdr", _mac(world, two.address), "dev", "eth0", "nud", "permanent")
    assert world.ask(one.netns, "connect", two.address, 7000) in ("silence", "refused")  # the latter with bridge-nf-call-iptables


def test_the_services_of_this_host_are_closed_to_containers(world: World):
    inside = world.attach("one")
    world.peer(None, "listen", 7123)
    assert world.ask(None, "connect", inside.gateway, 7123).startswith("open")
    for address in (inside.gateway, HOST):
        assert world.ask(inside.netns, "connect", address, 7123) == "refused"


def test_metadata_services_are_out_of_reach(world: World):
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


def test_one_container_cannot_fill_the_machines_table_of_connections(world: World):
    limits = FloodLimits(openings=100_000, openings_burst=100_000)
    world.renew(limits=limits)
    one, two = world.attach("one"), world.attach("two")
    world.peer(world.outside, "listen", 7000)
    world.ask(one.netns, "flood", OUTSIDE, limits.flows + 100)
    assert world.ask(one.netns, "connect", OUTSIDE, 7000) == "refused"
    assert world.ask(two.netns, "connect", OUTSIDE, 7000).startswith("open")
    world.peer(one.netns, "listen", 80)
    assert world.ask(None, "connect", one.address, 80).startswith("open")


def test_a_forged_sender_is_dropped(world: World):
    one, two = world.attach("one"), world.attach("two")
    receiver = world.peer(world.outside, "listen-udp", 7000)
    for address in (two.address, "203.0.113.9"):
        run("nsenter", f"--net={one.netns}", "ip", "addr", "add", f"{address}/32", "dev", "lo")
        world.ask(one.netns, "send-as", address, OUTSIDE, 7000)
    world.ask(one.netns, "send-as", one.address, OUTSIDE, 7000)  # the true one arrives, and is the first to
    assert receiver.stdout.readline().decode().strip() == f"{HOST} hello"
    receiver.kill()
    assert receiver.stdout.read() == b""


def test_a_forged_hardware_address_is_dropped(world: World):
    one = world.attach("one")
    world.peer(world.outside, "listen", 7000)
    enter = ["nsenter", f"--net={one.netns}", "ip", "link", "set", "eth0"]
    run(*enter, "address", "02:53:00:00:00:99")
    assert world.ask(one.netns, "connect", OUTSIDE, 7000) != f"open {HOST}"


def test_there_is_no_ipv6_but_on_loopback(world: World):
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


def test_attaching_twice_gives_the_same_and_so_does_a_new_process(world: World):
    first = world.attach("one")
    assert world.attach("one") == first
    again = Network(world.config)
    assert again.attach("one", world.userns) == first
    assert again.attachments() == {"one": first}


@pytest.mark.parametrize("killed_after", ["lease", "namespace", "link"])
def test_an_attach_that_was_killed_half_way_is_completed_by_the_next(world: World, killed_after: str):
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


def test_detaching_twice_or_what_was_never_attached_succeeds(world: World):
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


def test_preparing_again_cuts_no_connection_and_keeps_new_ones_possible(world: World):
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


def test_two_nodes_live_side_by_side_and_one_goes_without_the_other(world: World, tmp_path: Path):
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


def test_tearing_down_leaves_the_machine_as_it_was(tmp_path: Path, world: World):
    config = config_of(tmp_path)
    before = _machine(config)
    network = Network(config)
    network.prepare()
    network.attach("one", world.userns)
    assert _machine(config) != before
    network.tear_down()
    network.tear_down()
    assert _machine(config) == before


def test_a_range_that_is_in_use_is_refused_with_the_remedy(tmp_path: Path, world: World):
    with pytest.raises(NetworkRefused, match=r"overlaps .* on ") as caught:
        Network(config_of(tmp_path, world.config.network)).prepare()
    assert "SLIPWAY_NETWORK" in caught.value.hint


def test_a_user_namespace_that_is_none_is_told(world: World, tmp_path: Path):
    wrong = tmp_path / "wrong"
    wrong.touch()
    with pytest.raises(NetworkRefused, match="Could not create a network namespace"):
        world.network.attach("one", wrong)
    world.network.detach("one")
    assert world.network.attachments() == {}


def test_rules_that_the_kernel_refuses_are_told():
    with pytest.raises(NetworkRefused, match="did not accept"):
        firewall.apply("add rule inet nowhere nothing drop\n")
    with pytest.raises(NetworkRefused, match=r"not taken.*No such file"):
        firewall.amend(Kernel(), "add element bridge nowhere senders { 1 }\n")


def _mac(world: World, address: object) -> str:
    rows = run("ip", "neigh", "show", "dev", world.config.bridge).splitlines()
    return next(row.split()[2] for row in rows if row.split()[0] == str(address))


def _traces(world: World) -> dict[str, object]:
    return {
        "links": sorted(Path("/sys/class/net").glob(f"{world.config.name}*")),
        "pins": sorted((world.config.run / "netns").iterdir()),
        "mounts": len([line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(world.config.run) in line]),
        "rules": run("nft", "list", "table", "bridge", world.config.name),
        "neighbours": run("ip", "neigh", "show", "dev", world.config.bridge, "nud", "permanent"),
        "leases": world.network.attachments(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }


def _machine(config: NodeConfig) -> dict[str, set[str]]:
    """What the kernel has of this node; another lane of tests makes and removes things at the same time."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {
        "links": {path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith(config.name)},
        "tables": {table for table in run("nft", "list", "tables").splitlines() if config.name in table},
        "mounts": {mount for mount in mounts if mount.startswith((f"{config.run}/", f"{config.state}/"))},
        "routes": {route for route in run("ip", "route").splitlines() if config.name in route},
    }


def test_a_damaged_list_of_addresses_is_told_with_its_remedy(world: World):
    inside = world.attach("one")
    leases = world.config.state / "network" / "leases.json"
    whole = leases.read_bytes()
    leases.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NetworkRefused, match=r"leases\.json is damaged") as caught:
        world.attach("two")
    assert "make down" in caught.value.hint
    leases.write_bytes(whole)
    assert world.attach("one") == inside
