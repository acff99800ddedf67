"""Fixtures: a real node for each test, layers made from this machine's programs, and a check that
nothing is left.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.containers.container import Exit
from runtime.containers.lifecycle import Containers
from runtime.containers.logs import ConsoleReader
from runtime.containers.spec import ContainerSpec, Limits
from runtime.contract.quantities import Bytes, Millicores
from tests.runtime.containers.layers import make_layers

LIMITS = Limits(
    cpu=Millicores(2000), memory=Bytes(128 * 2**20), processes=64, disk=Bytes(64 * 2**20)
)


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """Create a folder that containers may enter. pytest's own folders are closed."""
    path = Path(tempfile.mkdtemp(prefix="slipway-tests-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def layers(place: Path) -> tuple[Path, ...]:
    """Return the layers of `make_layers`."""
    return make_layers(place)


@pytest.fixture
def node(place: Path) -> NodeConfig:
    """Return the configuration of a node with a unique name."""
    name = f"t{secrets.token_hex(3)}"
    return NodeConfig(name=name, state=place / name / "state", run=place / name / "run")


@pytest.fixture
def containers(node: NodeConfig) -> Iterator[Containers]:
    """Prepare the containers of a node.

    Afterwards, check that nothing of the node is left on the machine.
    """
    made = Containers(node)
    made.prepare()
    try:
        yield made
    finally:
        made.tear_down()
    settle(lambda: not traces(node), 30, lambda: f"left behind: {traces(node)}")


@pytest.fixture
def spec(layers: tuple[Path, ...]) -> Callable[..., ContainerSpec]:
    """Return a function that makes specs: `spec("sleep", "60", team=2)`."""

    def make(*command: str, **changes: object) -> ContainerSpec:
        wanted = ContainerSpec(
            id=f"web-{secrets.token_hex(4)}",
            app="shop",
            team=1,
            layers=layers,
            command=command,
            environment={"PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"},
            limits=LIMITS,
        )
        return replace(wanted, **changes)  # type: ignore[arg-type]  # the tests name fields of the spec

    return make


@pytest.fixture
def output(
    containers: Containers, spec: Callable[..., ContainerSpec]
) -> Callable[..., tuple[Exit, list[str]]]:
    """Return a function that runs a command in the foreground and removes its container.

    The function returns the exit and the printed lines.
    """

    def run(*command: str, **changes: object) -> tuple[Exit, list[str]]:
        wanted, lines = spec(*command, **changes), list[str]()
        ended = containers.run(wanted, on_output=lambda _, text: lines.append(text), timeout=60)
        containers.remove(wanted.id)
        return ended, lines

    return run


def settle(
    reached: Callable[[], object],
    timeout: float,
    otherwise: Callable[[], str] = lambda: "the condition was not reached",
) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + timeout
    while not reached():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.01)


def printed(containers: Containers, id: str) -> list[str]:
    """Return the lines that a container has printed so far."""
    reader = ConsoleReader(containers.log_path(id))
    return [line.text for line in [*reader.lines(), *reader.rest()]]


def traces(node: NodeConfig) -> list[str]:
    """Return everything on this machine that names the node: mounts, control groups and processes.

    A loop device ends with its mount.
    """
    found = [
        line
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if str(node.run) in line or str(node.state) in line
    ]
    groups = [
        hierarchy / node.cgroup_parent
        for hierarchy in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir())
    ]
    found += [f"control group {group}" for group in groups if group.is_dir()]
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            try:
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(node.state) in command or os.fsencode(node.run) in command:
                found.append(f"process {process.name} {command!r}")
    return found
