"""Tests of pulls for FROM, from a real registry and from a test registry with every kind of
fault.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import cancellation
from runtime.config import NodeConfig, from_environment
from runtime.errors import (
    BuildFailed,
    Cancelled,
    HostLacks,
    ImageDamaged,
    NotAllowed,
    TransferFailed,
    Unreachable,
)
from runtime.images.exchange.pulls import FRESH, Pulls, allowed
from runtime.images.exchange.registry_reference import Registries, RemoteName
from runtime.images.store import Store
from tests.runtime.images.conftest import Yard
from tests.runtime.images.faulty_registry import MACHINE, Server, server
from tests.runtime.images.test_transfer import Registry, registry, texts

__all__ = ["registry", "server"]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("debian", "docker.io/library/debian:latest"),
        ("debian:12-slim", "docker.io/library/debian:12-slim"),
        ("team/app:1", "docker.io/team/app:1"),
        ("index.docker.io/team/app", "docker.io/team/app:latest"),
        ("ghcr.io/a/b/c:v1.0", "ghcr.io/a/b/c:v1.0"),
        ("localhost/x", "localhost/x:latest"),
        ("127.0.0.1:5000/x_y/z--w:T_1", "127.0.0.1:5000/x_y/z--w:T_1"),
        (f"quay.io/x@sha256:{'a' * 64}", f"quay.io/x@sha256:{'a' * 64}"),
        (f"quay.io/x:1@sha256:{'a' * 64}", f"quay.io/x@sha256:{'a' * 64}"),
    ],
)
def test_names_are_completed_as_docker_does(text: str, whole: str) -> None:
    assert str(RemoteName.parse(text)) == whole


@pytest.mark.parametrize(
    "text",
    [
        "",
        "UPPER",
        "a b",
        "a//b",
        "x:",
        "x@sha256:1",
        "../x",
        "-x",
        "http://host/x",
        "x:tag:tag",
        "a/" * 300,
        "Team/app",
        "x:\u0663",
    ],
)
def test_an_invalid_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid image name"):
        RemoteName.parse(text)


@given(st.text(alphabet="aB0.:/@-_\n ", max_size=40))
def test_any_text_is_a_valid_name_or_refused(text: str) -> None:
    try:
        name = RemoteName.parse(text)
    except ValueError:
        return
    assert RemoteName.parse(str(name)) == replace(name, tag="" if name.digest else name.tag)
    assert name.host
    assert name.path


@pytest.mark.parametrize(
    ("allowed", "name", "yes"),
    [
        ((), "debian", True),
        (("docker.io",), "debian", True),
        (("docker.io/library",), "debian", True),
        (("docker.io/library",), "team/app", False),
        (("docker.io/library/*",), "debian", True),
        (("ghcr.io", "*.example.com"), "registry.example.com/x", True),
        (("ghcr.io", "*.example.com"), "example.com/x", False),
        (("ghcr.io/team",), "ghcr.io/team-two/x", False),
        ((), "localhost:5000/x", False),
        ((), "127.0.0.1:8080/x", False),
        ((), "[::1]:8080/x", False),
        ((), "169.254.169.254/x", False),
        (("127.0.0.1:5000",), "127.0.0.1:5000/x", True),
        ((), "10.0.0.5:5000/x", True),
    ],
)
def test_only_listed_registries_are_allowed(allowed: tuple[str, ...], name: str, yes: bool) -> None:
    assert Registries(allowed=allowed).allows(RemoteName.parse(name)) is yes


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("127.0.0.5", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("169.254.169.254", True),
        ("10.210.3.4", True),
        ("10.9.3.4", False),
    ],
)
def test_the_address_of_a_name_is_checked(address: str, inside: bool) -> None:
    assert Registries.of(NodeConfig()).is_inside(address) is inside


def test_a_name_of_this_machine_is_refused_unless_the_operator_allows_it() -> None:
    with pytest.raises(NotAllowed, match="leads to this machine"):
        # Our parser reads a name here, but the resolver reads another form of 127.0.0.1.
        allowed(Registries(), "127.1:5000/x")
    # Connecting a UDP socket sends nothing. It only selects the local address.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way_out:
        way_out.connect(("192.0.2.1", 9))
        own = way_out.getsockname()[0]
    with pytest.raises(NotAllowed, match="leads to this machine"):
        allowed(Registries(), f"{own}:5000/x")
    assert allowed(Registries(plain=("127.1:5000",)), "127.1:5000/x").host == "127.1:5000"


def test_settings_contain_registries_mirrors_and_the_timeout() -> None:
    config = from_environment(
        {
            "SLIPWAY_REGISTRIES": "docker.io/library, ghcr.io",
            "SLIPWAY_REGISTRY_MIRRORS": "docker.io=mirror:5000/hub/",
            "SLIPWAY_PLAIN_REGISTRIES": "mirror:5000",
            "SLIPWAY_PULL_TIMEOUT": "30",
        }
    )
    assert (config.registries, config.pull_timeout) == (("docker.io/library", "ghcr.io"), 30)
    found = Registries(
        allowed=config.registries, mirrors=config.registry_mirrors, plain=config.plain_registries
    )
    asked = found.pull_name(RemoteName.parse("debian:12"))
    assert str(asked) == "mirror:5000/hub/library/debian:12"
    assert found.is_plain(asked)
    assert str(found.pull_name(RemoteName.parse("ghcr.io/x"))) == "ghcr.io/x:latest"
    for bad in (
        {"SLIPWAY_REGISTRY_MIRRORS": "docker.io"},
        {"SLIPWAY_REGISTRY_MIRRORS": "a=http://b"},
        {"SLIPWAY_PULL_TIMEOUT": "soon"},
    ):
        with pytest.raises(HostLacks, match=next(iter(bad))):
            from_environment(bad)


@dataclass
class Shelf:
    """A store for pulls, and the log lines of the pulls."""

    config: NodeConfig
    store: Store
    now: float = 1_000_000.0
    said: list[str] = field(default_factory=list)

    def find(
        self, name: str, *, seconds: float = 60, cancelled: Callable[[], bool] = lambda: False
    ) -> str:
        pulls = Pulls(self.config, self.store, now=lambda: self.now)
        with self.store.lease(), cancellation.when(cancelled):
            return pulls.find(name, self.said.append, deadline=time.monotonic() + seconds)


@pytest.fixture
def shelf(yard: Yard) -> Shelf:
    return Shelf(yard.config, yard.store)


def plain(shelf: Shelf, address: str, **more: object) -> Shelf:
    shelf.config = replace(shelf.config, plain_registries=(address,), **more)  # type: ignore[arg-type]
    return shelf


def test_an_image_is_checked_once_an_hour_and_fetched_only_if_it_changed(
    shelf: Shelf, server: Server
) -> None:
    plain(shelf, server.address)
    first = shelf.find(f"{server.address}/team/app:1")
    assert texts(shelf.store, first) == ["hello"]
    assert shelf.said[0] == f"Pulling {server.address}/team/app:1"
    assert shelf.said[1].startswith("    layer ")
    assert shelf.said[-1].startswith(f"Pulled {server.address}/team/app:1: ")
    asked = len(server.asked)
    assert shelf.find(f"{server.address}/team/app:1") == first
    assert len(server.asked) == asked
    shelf.now += FRESH + 1
    assert shelf.find(f"{server.address}/team/app:1") == first
    assert not [path for path in server.asked[asked:] if "/blobs/" in path], (
        "only the digest was requested"
    )
    server.fill("world")
    shelf.now += FRESH + 1
    second = shelf.find(f"{server.address}/team/app:1")
    assert texts(shelf.store, second) == ["world"]
    server.mode = "500"
    shelf.now += FRESH + 1
    shelf.said.clear()
    assert shelf.find(f"{server.address}/team/app:1") == second
    assert "Using the image of an earlier pull" in shelf.said[-1]


def test_a_registry_that_requires_a_password_is_reported(shelf: Shelf, registry: Registry) -> None:
    with pytest.raises(TransferFailed) as refused:
        plain(shelf, registry.address).find(f"{registry.address}/base/thing:1")
    assert not isinstance(refused.value, Unreachable)
    assert "Check user name and password" in refused.value.hint


def test_a_mirror_replaces_its_host(shelf: Shelf, server: Server) -> None:
    plain(shelf, server.address, registry_mirrors=(("docker.io", f"{server.address}/team"),))
    server.path = "team/library/app"
    assert texts(shelf.store, shelf.find("app:1")) == ["hello"]
    assert shelf.said[0] == f"Pulling docker.io/library/app:1 from {server.address}"


def test_a_registry_that_is_not_allowed_gets_no_request(shelf: Shelf, server: Server) -> None:
    plain(shelf, server.address, registries=("ghcr.io",))
    shelf.config = replace(shelf.config, plain_registries=())
    with pytest.raises(NotAllowed, match="may not use images from") as refused:
        shelf.find(f"{server.address}/team/app:1")
    assert "Allowed: ghcr.io" in refused.value.hint
    assert server.asked == []


@pytest.mark.parametrize(
    ("mode", "kind", "words"),
    [
        ("hangs", Unreachable, "hangs"),
        ("429", Unreachable, "limits requests"),
        ("500", Unreachable, ""),
        ("401", TransferFailed, "Check user name and password"),
        ("unknown", TransferFailed, "Check the name and the tag"),
        ("half", TransferFailed, ""),
        ("other machine", TransferFailed, f"linux/{MACHINE}"),
        ("lying blob", (TransferFailed, ImageDamaged), ""),
        ("not json", (TransferFailed, ImageDamaged), ""),
    ],
)
def test_each_fault_of_a_registry_is_reported_with_a_remedy(
    shelf: Shelf, server: Server, mode: str, kind: type[Exception], words: str
) -> None:
    plain(shelf, server.address, pull_timeout=4 if mode == "hangs" else 120)
    server.mode = mode
    with pytest.raises(kind) as failed:
        shelf.find(f"{server.address}/team/app:1")
    assert failed.value.what.startswith(f"Could not pull the image {server.address}/team/app:1: ")  # type: ignore[attr-defined]
    assert words in failed.value.hint  # type: ignore[attr-defined]
    assert failed.value.hint  # type: ignore[attr-defined]
    assert (kind is Unreachable) or not isinstance(failed.value, Unreachable) or mode == "half"
    assert shelf.store.index.read() == ({}, [])
    assert not any((shelf.config.images / "ingest").iterdir())
    server.mode = ""
    assert texts(shelf.store, shelf.find(f"{server.address}/team/app:1")) == ["hello"]


def test_a_registry_that_does_not_listen_is_unreachable(shelf: Shelf, server: Server) -> None:
    server.stop()
    with pytest.raises(Unreachable, match="connection refused"):
        plain(shelf, server.address).find(f"{server.address}/team/app:1")


def test_a_cancelled_pull_ends_and_leaves_nothing(shelf: Shelf, server: Server) -> None:
    plain(shelf, server.address)
    server.mode = "hangs"
    with pytest.raises(Cancelled):
        shelf.find(
            f"{server.address}/team/app:1", seconds=100, cancelled=lambda: bool(server.asked)
        )
    assert not any((shelf.config.images / "ingest").iterdir())


def test_two_concurrent_pulls_of_an_image_fetch_it_once(shelf: Shelf, server: Server) -> None:
    plain(shelf, server.address)
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(shelf.find(f"{server.address}/team/app:1")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1
    assert sum(line.startswith("Pulling") for line in shelf.said) == 1


def test_waiting_for_another_pull_can_be_cancelled(shelf: Shelf, server: Server) -> None:
    plain(shelf, server.address)
    server.mode = "hangs"
    over = threading.Event()
    name = f"{server.address}/team/app:1"

    def first() -> None:
        with pytest.raises(Cancelled):
            shelf.find(name, seconds=100, cancelled=over.is_set)

    thread = threading.Thread(target=first)
    thread.start()
    try:
        while not server.asked:
            time.sleep(0.01)
        with pytest.raises(BuildFailed, match="cancelled"):
            shelf.find(name, cancelled=lambda: True)
        with pytest.raises(BuildFailed, match="ran out of time while another build pulled"):
            shelf.find(name, seconds=0)
    finally:
        over.set()
        thread.join()
