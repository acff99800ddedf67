"""Fixtures: the volumes and containers of a real node, and a check that nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from runtime.config import NodeConfig
from runtime.containers.container import Exit
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import Bind, ContainerSpec
from runtime.contract.quantities import Bytes
from runtime.volumes.volume import Volume
from runtime.volumes.volumes import Volumes
from tests.runtime.containers.conftest import containers, layers, node, place, spec

__all__ = ["containers", "layers", "node", "place", "spec"]  # fixtures of containers

VOLUME = Volume(number=7, team=1, size=Bytes(64 * 2**20))


@pytest.fixture
def volumes(node: NodeConfig, containers: Containers) -> Iterator[Volumes]:
    """Return the volumes of the node. They are unmounted before the check for leftovers."""
    made = Volumes(node)
    made.prepare()
    try:
        yield made
    finally:
        made.tear_down()


@pytest.fixture
def run_with(
    volumes: Volumes, containers: Containers, spec: Callable[..., ContainerSpec]
) -> Callable[..., tuple[Exit, list[str]]]:
    """Return a function that runs a command in an instance with a volume at /data."""

    def run(
        *command: str, volume: Volume = VOLUME, at: str = "/data", **changes: object
    ) -> tuple[Exit, list[str]]:
        wanted = spec(*command, **changes)
        source = volumes.mount(volume, owner=(wanted.uid, wanted.gid))
        wanted = replace(wanted, volumes=(Bind(source=source, target=at, writable=True),))
        lines: list[str] = []
        ended = containers.run(wanted, on_output=lambda _, text: lines.append(text), timeout=60)
        containers.remove(wanted.id)
        return ended, lines

    return run
