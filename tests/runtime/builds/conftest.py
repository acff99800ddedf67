"""A node for builds: warm stacks, real containers on their own network, and a check that nothing
remains.
"""

from __future__ import annotations

import io
import itertools
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from runtime.builds.builder import Builder
from runtime.builds.requests import BuildRequest, BuiltImage
from runtime.config import NodeConfig
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import Limits
from runtime.contract.quantities import Bytes, Millicores
from runtime.images.store import Store
from runtime.network.links import Network
from tests.podman import short_folder
from tests.ranges import free_range
from tests.warm import seed

LIMITS = Limits(cpu=Millicores(2000), memory=Bytes(1 << 30), processes=256, disk=Bytes(1 << 30))
EXAMPLES = Path(__file__).parents[3] / "examples"


@dataclass(slots=True)
class Forge:
    """Builder of sources that are given as files. Keeps the log lines of the builds."""

    config: NodeConfig
    store: Store
    containers: Containers
    builder: Builder
    log: list[str] = field(default_factory=list)
    last: int = 0  # number of the last build
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def request(self, files: Mapping[str, str], *, app: str = "app", team: int = 1) -> BuildRequest:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, text in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
        return self.request_of(buffer.getvalue(), app=app, team=team)

    def request_of(self, archive: bytes, *, app: str = "app", team: int = 1) -> BuildRequest:
        number = self.last = next(self._numbers)
        path = self.config.state / f"source{number}"
        path.write_bytes(archive)
        return BuildRequest(
            build_id=number,
            app=app,
            team=team,
            archive=path,
            filename="source.tar.gz",
            limits=LIMITS,
        )

    def build(
        self,
        files: Mapping[str, str],
        *,
        app: str = "app",
        team: int = 1,
        cancelled: Callable[[], bool] = lambda: False,
        config_vars: Mapping[str, str] | None = None,
    ) -> BuiltImage:
        self.log.clear()
        request = self.request(files, app=app, team=team)
        return self.builder.build(
            replace(request, config_vars=config_vars or {}), self.log.append, cancelled
        )

    def said(self) -> str:
        return "\n".join(self.log)

    def leftovers(self) -> list[str]:
        """Return what a build must not leave: workspaces, containers, and incomplete images and
        layers.
        """
        folders = (
            self.config.workspaces,
            self.config.images / "ingest",
            self.config.layers / "ingest",
        )
        return [str(path) for folder in folders for path in folder.iterdir()] + [
            container.id for container in self.containers.list()
        ]


@pytest.fixture(scope="session")
def node() -> Iterator[Forge]:
    state = short_folder("slipway-builds-")
    state.chmod(0o755)
    name = f"t{secrets.token_hex(3)}"
    config = NodeConfig(name=name, state=state / "state", run=state / "run", network=free_range())
    store, network = seed(config), Network(config)
    containers = Containers(config, network)
    try:
        network.prepare()
        containers.prepare()
        yield Forge(config, store, containers, Builder(config, store, containers))
    finally:
        containers.tear_down()
        network.tear_down()
        shutil.rmtree(state)


@pytest.fixture
def forge(node: Forge) -> Iterator[Forge]:
    node.log.clear()
    yield node
    assert node.leftovers() == []
