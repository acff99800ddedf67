"""A real network for a test, and an "outside": a namespace behind one more link of this host."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from runtime import process
from runtime.config import NodeConfig
from runtime.kernel import Kernel
from runtime.network.attachment import Attachment
from runtime.network.links import Network
from tests.ranges import free_range

PEER = Path(__file__).with_name("peer.py")
OUTSIDE = "198.18.77.2"  # RFC 2544: reserved for tests, never a real address
HOST = "198.18.77.1"
HIDDEN = "169.254.169.254"


def run(*words: str | Path) -> str:
    return process.run(list(words)).stdout.decode().strip()


def pin(namespace: str, path: Path, *, prepare: list[str] | None = None) -> None:
    """Create a namespace of this kind, and keep it alive with a bind mount on a file."""
    path.touch()
    holder = subprocess.Popen(
        ["unshare", f"--{namespace}", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    holder.stdin.write(b"\n")
    holder.stdin.flush()
    assert holder.stdout.read(1) == b"\n"
    for name in prepare or []:
        Path(f"/proc/{holder.pid}/{name}").write_text("0 2000000 65536")
    Kernel().bind(f"/proc/{holder.pid}/ns/{'net' if namespace == 'net' else 'user'}", path)
    holder.stdin.close()
    holder.wait()
    holder.stdout.close()


@dataclass
class World:
    """The network of one node and its surroundings."""

    config: NodeConfig
    network: Network
    userns: Path
    outside: Path
    stack: ExitStack
    peers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def attach(
        self, container: str, *, team: int = 0, app: str = "", build: bool = False
    ) -> Attachment:
        return self.network.attach(container, self.userns, team=team, app=app, build=build)

    def renew(self, **parts: Any) -> None:
        """Create the same network again, as another process would, with other parts."""
        self.network = Network(self.config, **parts)
        self.network.prepare()

    def ask(self, where: Path | None, *words: object) -> str:
        return run(*self._command(where, words))

    def peer(self, where: Path | None, *words: object) -> subprocess.Popen[bytes]:
        """Start a peer that keeps running, and read its first line."""
        started = self.start(where, *words)
        started.first = started.stdout.readline().decode().strip()
        return started

    def start(self, where: Path | None, *words: object) -> subprocess.Popen[bytes]:
        """Start a peer that runs on its own until it is done or the test ends."""
        started = subprocess.Popen(
            self._command(where, words), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.stack.callback(end, started)
        return started

    def _command(self, where: Path | None, words: tuple[object, ...]) -> list[str]:
        enter = ["nsenter", f"--net={where}"] if where else []
        return [*enter, sys.executable, "-S", str(PEER), *map(str, words)]


def end(started: subprocess.Popen[bytes]) -> None:
    started.kill()
    started.wait()
    started.stdin.close()
    started.stdout.close()


def config_of(folder: Path, network: IPv4Network | None = None) -> NodeConfig:
    name = f"t{secrets.token_hex(3)}"
    return NodeConfig(
        name=name,
        state=folder / name / "state",
        run=folder / name / "run",
        network=network or free_range(),
    )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    config = config_of(tmp_path)
    with ExitStack() as stack:
        userns, outside = tmp_path / "userns", tmp_path / "outside"
        pin("user", userns, prepare=["uid_map", "gid_map"])
        stack.callback(Kernel().unmount, userns, lazily=True)
        pin("net", outside)
        stack.callback(Kernel().unmount, outside, lazily=True)
        near, far = f"{config.name}o", f"{config.name}f"
        run("ip", "link", "add", near, "type", "veth", "peer", "name", far)
        stack.callback(run, "ip", "link", "del", near)
        inside = os.open(outside, os.O_RDONLY)
        try:
            run("ip", "link", "set", far, "netns", f"/proc/{os.getpid()}/fd/{inside}")
        finally:
            os.close(inside)
        run("ip", "addr", "add", f"{HOST}/24", "dev", near)
        run("ip", "link", "set", near, "up")
        enter = ["nsenter", f"--net={outside}", "ip"]
        run(*enter, "addr", "add", f"{OUTSIDE}/24", "dev", far)
        run(*enter, "addr", "add", f"{HIDDEN}/32", "dev", far)
        run(*enter, "link", "set", far, "up")
        run(*enter, "link", "set", "lo", "up")
        run(*enter, "route", "add", "default", "via", HOST)
        Path(f"/proc/sys/net/ipv4/conf/{near}/forwarding").write_text("1")
        network = Network(config)
        network.prepare()
        stack.callback(network.tear_down)
        yield World(config=config, network=network, userns=userns, outside=outside, stack=stack)
