"""Tests of foreign registries that redirect an image pull to this machine: the firewall blocks such
connections of skopeo.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from runtime.config import proxy_ports
from runtime.errors import TransferFailed, Unreachable
from runtime.images.exchange.pulls import Pulls, reach
from runtime.images.exchange.registry_reference import RedirectScope, Registries, RemoteName
from runtime.images.exchange.transfer import Access, Transfer
from runtime.images.store import Store
from tests.ranges import free_range
from tests.runtime.network.conftest import HIDDEN, HOST, OUTSIDE, World, end, run

PORT, ELSEWHERE = 5000, 5001
NAME = f"{OUTSIDE}:{PORT}/team/app:1"


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a certificate for the outside's address that skopeo trusts.

    Only registries with TLS are confined; the operator has listed those with plain HTTP.
    """
    path = tmp_path / "moved.pem"
    words = [
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=moved",
    ]
    options = ["-addext", f"subjectAltName=IP:{OUTSIDE}", "-keyout", path, "-out", f"{path}.crt"]
    subprocess.run(["openssl", "req", *words, *options], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    monkeypatch.setenv("SSL_CERT_FILE", f"{path}.crt")
    return path


@dataclass
class Stranger:
    """Registries in the outside namespace."""

    world: World
    certificate: Path

    def opens(self, port: int, target: str = "") -> subprocess.Popen[bytes]:
        script = Path(__file__).with_name("moved.py")
        enter = ["nsenter", f"--net={self.world.outside}", sys.executable, "-S", script]
        started = subprocess.Popen(
            [*enter, str(port), self.certificate, target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.world.stack.callback(end, started)
        assert started.stdout is not None
        assert started.stdout.readline() == b"ready\n"
        return started


@pytest.fixture
def stranger(world: World, certificate: Path) -> Stranger:
    return Stranger(world, certificate)


@pytest.fixture
def service() -> Iterator[socket.socket]:
    """Listen on all addresses of this machine."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        listener.settimeout(0.3)
        yield listener


def pull(world: World, **settings: object) -> None:
    config = replace(world.config, pull_timeout=8, disk_high=100, disk_full=100, **settings)  # type: ignore[arg-type]
    store = Store(config)
    with store.lease():
        Pulls(config, store).find(NAME, lambda _: None, deadline=time.monotonic() + 30)


def was_asked(service: socket.socket) -> bool:
    try:
        service.accept()[0].close()
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1.2.3", HOST])
def test_a_redirect_to_this_machine_is_blocked(
    stranger: Stranger, service: socket.socket, host: str
) -> None:
    asked = stranger.opens(PORT, f"http://{host}:{service.getsockname()[1]}")
    with pytest.raises(Unreachable, match="connection refused") as refused:
        pull(stranger.world)
    assert asked.stdout is not None
    assert asked.stdout.readline() == b"/v2/\n", "the registry itself is reachable"
    assert "are not followed" in refused.value.hint
    assert not was_asked(service)


@pytest.mark.parametrize("where", ["an app", "the metadata service"])
def test_a_redirect_to_an_app_or_a_metadata_service_is_blocked(
    stranger: Stranger, where: str
) -> None:
    inside = stranger.world.attach("one")
    stranger.world.peer(inside.netns, "listen", 7000)
    assert stranger.world.ask(None, "connect", inside.address, 7000).startswith("open")
    stranger.opens(PORT, f"http://{inside.address if where == 'an app' else HIDDEN}:7000")
    with pytest.raises(Unreachable, match="connection refused"):
        pull(stranger.world)


@pytest.mark.parametrize("reach", [RedirectScope.PUBLIC, RedirectScope.OUTWARD])
def test_a_redirect_of_a_public_registry_to_a_private_network_is_blocked(
    stranger: Stranger, reach: RedirectScope
) -> None:
    world, private = stranger.world, free_range()
    run("nsenter", f"--net={world.outside}", "ip", "addr", "add", f"{private[7]}/32", "dev", "lo")
    run("ip", "route", "add", str(private), "via", OUTSIDE)
    world.stack.callback(run, "ip", "route", "del", str(private), "via", OUTSIDE)
    asked = stranger.opens(ELSEWHERE)
    stranger.opens(PORT, f"https://{private[7]}:{ELSEWHERE}")
    with pytest.raises(TransferFailed) as failed:
        Transfer(world.config, Store(world.config)).import_from(
            f"docker://{NAME}", Access(plain_http=True, reach=reach)
        )
    assert (
        ("connection refused" in failed.value.what)
        is isinstance(failed.value, Unreachable)
        is (reach is RedirectScope.PUBLIC)
    )
    if reach is RedirectScope.OUTWARD:
        assert asked.stdout is not None
        assert asked.stdout.readline() == b"/v2/team/app/manifests/1\n"


@pytest.mark.parametrize(
    ("host", "settings", "expected"),
    [
        ("9.9.9.9", {}, RedirectScope.PUBLIC),
        ("[2620:fe::fe]:5000", {}, RedirectScope.PUBLIC),
        ("10.0.0.5:5000", {}, RedirectScope.OUTWARD),
        ("nowhere.invalid", {}, RedirectScope.OUTWARD),
        ("9.9.9.9", {"allowed": ("9.9.9.9/team",)}, RedirectScope.ANYWHERE),
        ("9.9.9.9", {"plain": ("9.9.9.9",)}, RedirectScope.ANYWHERE),
        ("9.9.9.9", {"mirrors": (("9.9.9.9", "10.0.0.5"),)}, RedirectScope.ANYWHERE),
    ],
)
def test_the_reach_of_a_registry_depends_on_its_address_and_settings(
    host: str, settings: dict[str, Any], expected: RedirectScope, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    registries, name = Registries(**settings), RemoteName.parse(f"{host}/team/app:1")
    assert reach(registries, name, registries.pull_name(name)) is expected
    monkeypatch.setenv("HTTPS_PROXY", "http://10.0.0.9:3128")
    assert reach(registries, name, registries.pull_name(name)) is (
        expected and RedirectScope.OUTWARD
    )


def test_a_redirect_to_another_outside_address_is_followed(stranger: Stranger) -> None:
    asked = stranger.opens(ELSEWHERE)
    stranger.opens(PORT, f"https://{OUTSIDE}:{ELSEWHERE}")
    with pytest.raises(TransferFailed) as failed:
        pull(stranger.world)
    assert not isinstance(failed.value, Unreachable)
    assert asked.stdout is not None
    assert asked.stdout.readline() == b"/v2/team/app/manifests/1\n"


def test_a_registry_of_the_operator_may_redirect_to_this_machine(
    stranger: Stranger, service: socket.socket
) -> None:
    stranger.opens(PORT, f"http://127.0.0.1:{service.getsockname()[1]}")
    with pytest.raises(Unreachable):
        pull(stranger.world, registries=(f"{OUTSIDE}:{PORT}",))
    assert was_asked(service)


def test_a_proxy_on_this_machine_is_reachable(
    stranger: Stranger, service: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{service.getsockname()[1]}")
    stranger.world.network.prepare()
    if run("nft", "list", "ruleset").count("jump to_strangers") > 1:
        pytest.skip("another platform runs on this machine, and its rules do not allow a proxy")
    stranger.opens(PORT)
    with pytest.raises(Unreachable):
        pull(stranger.world)
    assert was_asked(service)


@pytest.mark.parametrize(
    ("environment", "ports"),
    [
        ({}, ()),
        ({"HTTP_PROXY": "", "NO_PROXY": "localhost:1", "OTHER": "http://a:1"}, ()),
        (
            {"https_proxy": "http://user:word@proxy.lan:3128/", "HTTP_PROXY": "proxy.lan:8080"},
            (3128, 8080),
        ),
        (
            {
                "http_proxy": "http://proxy.lan",
                "https_proxy": "https://proxy.lan",
                "ALL_PROXY": "socks5://proxy.lan",
            },
            (80, 443, 1080),
        ),
        ({"http_proxy": "http://proxy.lan:many"}, ()),
    ],
)
def test_the_ports_of_proxies_are_read_from_the_environment(
    environment: dict[str, str], ports: tuple[int, ...]
) -> None:
    assert proxy_ports(environment) == ports
