"""Fixtures: one real node for all engine tests, with containers, network and HAProxy.

The images consist of this machine's own programs.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from runtime import process
from runtime.config import NodeConfig
from runtime.containers.spec import Limits, TeamLimits
from runtime.contract.quantities import Bytes, Millicores
from runtime.converge.desired import DesiredApp, DesiredProcess, DesiredRelease
from runtime.converge.planning.plan import OutcomeState
from runtime.engines.node import NodeEngine
from runtime.engines.observation import Observation
from runtime.images.manifest import ImageConfig
from runtime.images.store import Image
from tests.ranges import free_range
from tests.runtime.containers.conftest import layers, place

__all__ = ["layers", "place"]

APP = """
import base64, hashlib, http.server, os, random, signal, sys, time
word, mode = sys.argv[1], sys.argv[2]
print("hello from", word, flush=True)
if mode == "exit": sys.exit("cannot find the moon")
if mode == "eat":
    hoard = []
    while True: hoard.append(bytearray(2**20))
if mode == "silent": time.sleep(3600)
if mode == "slow": time.sleep(float(os.environ["SLOW"]))
sick, sockets = [], []
def goodbye(*_):
    for one in sockets: one.sendall(b"goodbye")
    os._exit(0)
if mode == "polite": signal.signal(signal.SIGTERM, goodbye)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/die": os._exit(7)
        if self.path == "/glut" and not os.fork():
            hoard = []
            while True: hoard.append(bytearray(2**20))
        if self.path == "/linger": time.sleep(1.5)
        if self.path == "/sicken": sick.append(True)
        if self.path == "/recover": sick.clear()
        if self.path == "/socket": return self.echo()
        time.sleep({"calm": 0.02, "twice": 0.04}.get(mode, 0))
        body = (word + " " + os.environ["SLIPWAY_INSTANCE"]).encode()
        fails = mode == "broken" or (mode == "flaky" and self.path != "/health" and random.random() < 0.05)
        self.send_response(500 if fails or (sick and self.path == "/healthz") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def echo(self):
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "websocket")
        accept = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        self.end_headers()
        self.close_connection = True
        sockets.append(self.connection)
        while data := self.connection.recv(1000): self.connection.sendall(data)
    do_POST = do_GET
    def log_message(self, *args): pass
where = "127.0.0.1" if mode == "loopback" else "0.0.0.0"
port = 5000 if mode in ("elsewhere", "loopback") else int(os.environ["PORT"])
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
Server((where, port), Handler).serve_forever()
"""  # noqa: E501
SMALL = Limits(cpu=Millicores(1000), memory=Bytes(96 * 2**20), processes=32, disk=Bytes(16 * 2**20))
TEAM = TeamLimits(cpu=Millicores(2000), memory=Bytes(2**30), processes=512)


@dataclass(frozen=True, kw_only=True)
class Images:
    """A store that returns the same image for every digest."""

    layers: tuple[Path, ...]

    def image(self, digest: str) -> Image:
        return Image(
            digest=digest,
            config=ImageConfig(environment={"PATH": "/usr/bin:/bin"}, working_directory="/tmp"),
            layers=self.layers,
            size=0,
        )

    def sweep(self) -> list[str]:
        return []

    def untag(self, name: str) -> None:
        pass


@dataclass(kw_only=True)
class Station:
    """A node under test, with methods for the work of a worker."""

    config: NodeConfig
    images: Images
    router: subprocess.Popen[bytes] | None = None
    engine: NodeEngine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = self.fresh_engine()

    def fresh_engine(self) -> NodeEngine:
        return NodeEngine(self.config, images=self.images)

    def step(self, desired: DesiredApp) -> Observation:
        with self.engine.holding(desired.app, timeout=20) as held:
            assert held
            look = self.engine.look(desired)
            self.engine.act(desired, look)
        return look

    def settle(self, desired: DesiredApp, *, seconds: float = 60) -> Observation:
        """Step until nothing is left to do, or the candidate is live or failed."""
        deadline = time.monotonic() + seconds
        while True:
            look = self.step(desired)
            if look.plan.settled or look.plan.outcome.state in (
                OutcomeState.LIVE,
                OutcomeState.FAILED,
            ):
                return look
            assert time.monotonic() < deadline, look
            if not look.plan.actions:
                time.sleep(0.02)

    def roll_out(self, app: DesiredApp, release: DesiredRelease) -> tuple[DesiredApp, Observation]:
        """Roll out the release as the workers do, and return the app as its rows would be then."""
        wanted = replace(app, candidate=release)
        look = self.settle(wanted)
        app = replace(app, current=release) if look.plan.outcome.state is OutcomeState.LIVE else app
        self.settle(app)
        return app, look

    def get(self, app: str, path: str = "/") -> httpx.Response:
        return httpx.get(
            f"http://127.0.0.1:{self.config.http_port}{path}",
            headers={"Host": f"{app}.test"},
            timeout=15,
        )

    def die(self, app: str) -> None:
        """End one instance in the middle of a POST, which the router must not repeat."""
        httpx.post(
            f"http://127.0.0.1:{self.config.http_port}/die",
            headers={"Host": f"{app}.test"},
            timeout=15,
        )

    def log(self, app: str) -> str:
        for container in self.engine.instances():
            self.engine.ship(container)
        return (self.config.app_logs / f"{app}.log").read_text()

    def ids(self, app: str) -> list[str]:
        return sorted(
            container.id for container in self.engine.instances() if container.spec.app == app
        )


def release(
    number: int,
    mode: str = "ok",
    *,
    count: int = 1,
    workers: str = "",
    environment: dict[str, str] | None = None,
    **changes: object,
) -> DesiredRelease:
    processes = [
        DesiredProcess(
            name="web", command=f"python3 /srv/app.py v{number} {mode}", count=count, limits=SMALL
        )
    ]
    if workers:
        processes.append(DesiredProcess(name="worker", command=workers, count=1, limits=SMALL))
    made = DesiredRelease(
        number=number,
        image="sha256:0",
        environment=environment or {},
        processes=tuple(processes),
        boot_seconds=6.0,
        drain_seconds=5.0,
        attempt=f"a{number}",
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields of the release


def release_with(number: int, counts: dict[str, int], **changes: object) -> DesiredRelease:
    """Return a release with these process types. Each of them answers requests."""
    made = release(number, **changes)
    (web,) = made.processes
    return replace(
        made,
        processes=tuple(replace(web, name=name, count=count) for name, count in counts.items()),
    )


@pytest.fixture(scope="session")
def station(layers: tuple[Path, ...]) -> Iterator[Station]:
    folder = Path(tempfile.mkdtemp(prefix="slipway-tests-"))
    folder.chmod(0o755)
    code = folder / "code"
    (code / "srv").mkdir(parents=True)
    (code / "srv/app.py").write_text(APP)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    name = f"t{secrets.token_hex(3)}"
    config = NodeConfig(
        name=name,
        state=folder / "state",
        run=folder / "run",
        http_port=port,
        network=free_range(),
        portal_host="portal.test",
    )
    made = Station(config=config, images=Images(layers=(code, *layers)))
    made.engine.prepare()
    made.router = process.spawn(made.engine.router.command())
    deadline = time.monotonic() + 10
    while not config.router_socket.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    try:
        yield made
    finally:
        made.router.terminate()
        made.router.wait()
        made.engine.tear_down()
        shutil.rmtree(folder)


@pytest.fixture
def app(station: Station) -> Iterator[DesiredApp]:
    name = f"app{secrets.token_hex(3)}"
    desired = DesiredApp(app=name, team=1, hosts=(f"{name}.test",), team_limits=TEAM)
    yield desired
    station.settle(replace(desired, deleted=True))
    assert station.ids(name) == []
