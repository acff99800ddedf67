"""Fixtures for the workers' tests.

A private Redis, a real node, real rows, and worker processes that a test can kill.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import redis
from django.conf import settings
from django.utils import timezone

from portal.apps.models import App, ProcessFormation
from portal.builds.models import Build
from portal.deploys import actions as builds
from portal.releases.models import Rollout
from runtime import process
from runtime.builds.requests import BuildRequest, BuiltImage
from runtime.config import NodeConfig
from runtime.engines.node import NodeEngine
from runtime.errors import BuildFailed
from runtime.images.manifest import ImageConfig
from runtime.images.store import Store
from tests.portal.conftest import Crew, make_crew
from tests.portal.shipyard import submit_archive
from tests.ranges import free_range
from tests.runtime.containers.conftest import layers, place
from tests.runtime.engines.conftest import APP
from workers import node

__all__ = ["layers", "place"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(kw_only=True)
class Builder:
    """A fake builder that returns or raises what the test sets."""

    digest: str
    processes: dict[str, str] = field(default_factory=lambda: {"web": "python3 /srv/app.py v1 ok"})
    fails_with: Exception | None = None

    def build(
        self,
        request: BuildRequest,
        log: Callable[[str], None],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> BuiltImage:
        log(f"Source: {request.filename}")
        if self.fails_with is not None:
            log("It does not look good")
            raise self.fails_with
        return BuiltImage(digest=self.digest, processes=dict(self.processes))

    def sweep(self) -> list[str]:
        return []


@dataclass(kw_only=True)
class Plant:
    """A node with its database rows and the worker processes that a test starts."""

    config: NodeConfig
    builder: Builder
    engine: NodeEngine
    crew: Crew
    children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def get(self, app: App, path: str = "/", **headers: str) -> httpx.Response:
        return httpx.get(
            f"http://127.0.0.1:{self.config.http_port}{path}",
            headers={"Host": f"{app.name}.{settings.BASE_DOMAIN}", **headers},
            timeout=60,
        )

    def die(self, app: App) -> None:
        httpx.post(
            f"http://127.0.0.1:{self.config.http_port}/die",
            headers={"Host": f"{app.name}.{settings.BASE_DOMAIN}"},
            timeout=15,
        )

    def app(self) -> App:
        return self.crew.app(f"app{secrets.token_hex(3)}")

    def submit(self, app: App) -> Build:
        return submit_archive(self.crew.owner, app, secrets.token_bytes(8))

    def release(self, app: App, mode: str = "ok", **processes: str) -> Rollout:
        """Create a build that has succeeded, and return its queued rollout."""
        build = self.submit(app)
        builds.mark_building(build)
        rollout = builds.succeed(
            build,
            self.builder.digest,
            {"web": f"python3 /srv/app.py v{build.pk} {mode}", **processes},
        )
        assert rollout is not None
        # A new app has no instances of other types than `web`; these tests need one of each.
        ProcessFormation.objects.filter(app=app, process__in=processes).update(count=1)
        return rollout

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a worker process or the supervisor with this node's settings."""
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "SLIPWAY_NAME": self.config.name,
            "SLIPWAY_NETWORK": str(self.config.network),
            "SLIPWAY_HTTP_PORT": str(self.config.http_port),
        }
        log = (self.config.state / "workers.log").open("ab")
        child = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self.children.append(child)
        return child

    def worker(self) -> subprocess.Popen[bytes]:
        return self.start("workers.serve", "worker-node")

    def supervisor(self) -> subprocess.Popen[bytes]:
        return self.start("workers.supervisor")

    def kill(self, child: subprocess.Popen[bytes]) -> None:
        """Send SIGKILL to the process and to its children."""
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def log(self) -> str:
        path = self.config.state / "workers.log"
        return path.read_text()[-6000:] if path.exists() else ""

    def until(self, reached: Callable[[], object], seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, f"{self.log()}"
            time.sleep(0.02)


@pytest.fixture(scope="package")
def config() -> NodeConfig:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return NodeConfig(
        name=f"t{secrets.token_hex(3)}",
        state=settings.STATE,
        run=settings.RUN,
        http_port=port,
        network=free_range(),
        base_domain=settings.BASE_DOMAIN,
    )


@pytest.fixture(scope="package")
def engine(config: NodeConfig, layers: tuple[Path, ...]) -> Iterator[NodeEngine]:
    """Yield an engine with an image in a real store and HAProxy in front of it."""
    store = Store(config)
    code = config.state / "test-code"
    (code / "srv").mkdir(parents=True)
    (code / "srv/app.py").write_text(APP)
    made = [store.add_layer(tree) for tree in reversed((code, *layers))]
    digest = store.write_image(
        made, ImageConfig(environment={"PATH": "/usr/bin:/bin"}, working_directory="/tmp")
    )
    engine = NodeEngine(config, images=store, builder=Builder(digest=digest))
    engine.prepare()
    router = process.spawn(engine.router.command())
    node.use(engine)
    yield engine
    node.use(None)
    router.terminate()
    router.wait()
    engine.tear_down()
    shutil.rmtree(code)


@pytest.fixture
def plant(
    transactional_db: None, broker: redis.Redis, config: NodeConfig, engine: NodeEngine
) -> Iterator[Plant]:
    """Yield a plant; afterwards kill its processes and remove all that they started."""
    digest = engine._builder.digest
    engine._builder = Builder(digest=digest)
    made = Plant(config=config, builder=engine._builder, engine=engine, crew=make_crew())
    try:
        yield made
    finally:
        for child in made.children:
            if child.poll() is None:
                made.kill(child)
        App.objects.update(deleted_at=timezone.now())
        from workers.tasks.converge import remove_app

        for app_id in App.objects.values_list("pk", flat=True):
            remove_app(app_id)
        # a test may have used another image
        engine._builder = Builder(digest=digest)
        assert not App.objects.exists()
        assert engine.instances() == []


@pytest.fixture
def failure() -> BuildFailed:
    return BuildFailed("uv could not find a version of flask 99.", hint="Correct requirements.txt.")
