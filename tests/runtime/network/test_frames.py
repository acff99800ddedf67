"""Tests with forged frames, which the bridge must drop itself. An app cannot send them, because it
has no raw sockets.

This process enters the attacker's network namespace as the host's root. It can do more than any
app.
"""

from __future__ import annotations

import struct
import time
from ipaddress import IPv4Address

import pytest

from runtime.network.addresses import hardware_address
from runtime.network.attachment import Attachment
from tests.runtime.network.conftest import OUTSIDE, World, run

EVERYBODY = bytes.fromhex("ffffffffffff")
ALL_NODES = bytes.fromhex("333300000001")  # ff02::1
MARK = b"slipway-attack"


def mac(address: IPv4Address) -> bytes:
    return bytes.fromhex(hardware_address(address).replace(":", ""))


def arp(
    *,
    target_mac: bytes,
    sender: IPv4Address,
    sender_mac: bytes,
    source_mac: bytes,
    target: IPv4Address,
    reply: bool,
) -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2 if reply else 1)
    body += sender_mac + sender.packed + target_mac + target.packed
    return target_mac + source_mac + struct.pack("!H", 0x0806) + body + MARK


def ipv4(
    *, source_mac: bytes, target_mac: bytes, source: IPv4Address, target: IPv4Address
) -> bytes:
    payload = struct.pack("!HHHH", 1000, 2000, 8 + len(MARK), 0) + MARK
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, 17, 0, source.packed, target.packed
    )
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    header = (
        header[:10] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + header[12:]
    )
    return target_mac + source_mac + struct.pack("!H", 0x0800) + header + payload


def ipv6(*, source_mac: bytes, target_mac: bytes, next_header: int = 17) -> bytes:
    link_local = bytes.fromhex("fe80000000000000") + bytes(7) + b"\x09"
    payload = (
        bytes([134, 0, 0, 0, 64, 0, 0xFF, 0xFF]) + bytes(8) + MARK
        if next_header == 58
        else bytes(8) + MARK
    )  # 134: router advertisement
    header = (
        struct.pack("!IHBB", 0x60000000, len(payload), next_header, 255)
        + link_local
        + bytes.fromhex("ff02" + "00" * 13 + "01")
    )
    return target_mac + source_mac + struct.pack("!H", 0x86DD) + header + payload


def frames(bad: Attachment, good: Attachment) -> dict[str, bytes]:
    mine, its, gate = mac(bad.address), mac(good.address), mac(bad.gateway)
    honest = ipv4(source_mac=mine, target_mac=its, source=bad.address, target=good.address)
    return {
        "claims the gateway's address to a sibling by ARP": arp(
            target_mac=its,
            sender=bad.gateway,
            sender_mac=mine,
            source_mac=mine,
            target=good.address,
            reply=True,
        ),
        "claims the gateway's address to all by ARP": arp(
            target_mac=EVERYBODY,
            sender=bad.gateway,
            sender_mac=mine,
            source_mac=mine,
            target=good.address,
            reply=True,
        ),
        "claims a sibling's address to the gateway by ARP": arp(
            target_mac=gate,
            sender=good.address,
            sender_mac=mine,
            source_mac=mine,
            target=bad.gateway,
            reply=True,
        ),
        "sends as a sibling's hardware address": ipv4(
            source_mac=its, target_mac=gate, source=bad.address, target=IPv4Address(OUTSIDE)
        ),
        "sends as a sibling": ipv4(
            source_mac=mine, target_mac=gate, source=good.address, target=IPv4Address(OUTSIDE)
        ),
        "sends as the gateway to a sibling": ipv4(
            source_mac=gate, target_mac=its, source=bad.gateway, target=good.address
        ),
        "sends as a stranger": ipv4(
            source_mac=mine,
            target_mac=gate,
            source=IPv4Address("203.0.113.9"),
            target=IPv4Address(OUTSIDE),
        ),
        "sends to a sibling on the same wire": honest,
        "sends to all on the same wire": EVERYBODY + honest[6:],
        "advertises itself as a router by IPv6": ipv6(
            source_mac=mine, target_mac=ALL_NODES, next_header=58
        ),
        "sends to a sibling by IPv6": ipv6(source_mac=mine, target_mac=its),
        "sends with a VLAN tag": honest[:12] + bytes.fromhex("8100000a") + honest[12:],
        "sends with two VLAN tags": honest[:12] + bytes.fromhex("88a8000a8100000b") + honest[12:],
        "sends a frame of the spanning tree": (
            bytes.fromhex("0180c2000000") + mine + b"\x00\x26\x42\x42\x03" + bytes(35) + MARK
        ),
        "sends a frame of LLDP": (
            bytes.fromhex("0180c200000e") + mine + b"\x88\xcc" + bytes(40) + MARK
        ),
    }


NAMES = list(frames(*(Attachment(container_id="", netns=None, address=IPv4Address(f"10.0.0.{n}"), gateway=IPv4Address("10.0.0.1"), interface="") for n in (2, 3))))  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("attack", NAMES)
def test_a_forged_frame_reaches_nobody(world: World, attack: str):
    bad, good = world.attach("bad", team=7), world.attach("good", team=8)
    outside = world.peer(world.outside, "count-udp", 2000)
    sibling = world.peer(good.netns, "sniff", 1)
    neighbours = run("ip", "neigh", "show", "dev", world.config.bridge)
    for _ in range(3):
        world.ask(bad.netns, "frame", frames(bad, good)[attack].hex())
    seen, _ = sibling.communicate(timeout=10)
    assert MARK.hex() not in seen.decode(), "a sibling received it"
    outside.stdin.write(b"\n")
    outside.stdin.flush()
    assert outside.stdout.readline() == b"0\n", "it left the host"
    assert run("ip", "neigh", "show", "dev", world.config.bridge) == neighbours, (
        "the host accepted it"
    )
    world.peer(good.netns, "listen", 80)
    assert world.ask(None, "connect", good.address, 80) == f"open {good.gateway}"


def test_a_correct_frame_sent_in_the_same_way_arrives(world: World):
    """Send a correct frame. Without this check, the test above would prove nothing."""
    bad = world.attach("bad", team=7)
    outside = world.peer(world.outside, "count-udp", 2000)
    honest = ipv4(
        source_mac=mac(bad.address),
        target_mac=mac(bad.gateway),
        source=bad.address,
        target=IPv4Address(OUTSIDE),
    )
    world.ask(bad.netns, "frame", honest.hex())
    deadline = time.monotonic() + 2
    count = b"0\n"
    while count == b"0\n" and time.monotonic() < deadline:
        outside.stdin.write(b"\n")
        outside.stdin.flush()
        count = outside.stdout.readline()
    assert count == b"1\n"
