"""The effect of other teams' load on an app: its latency at 200 requests per second.

It is measured alone and with each bomb.

Run `python -m bench.neighbour [ROUNDS [BOMB...]]` as root. It starts its own node, network and
router, so the platform need not run. `cc` builds the bombs. Each bomb belongs to another team;
bombs that are builds run like the step of a build. Both times are medians of the rounds'
percentiles. The time alone is measured again before each bomb, so that a busy moment of the
machine affects both.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from bench.neighbour_client import FAILED
from runtime.config import NodeConfig
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import ContainerSpec, Limits, Purpose, TeamLimits
from runtime.contract.quantities import Bytes, Millicores
from runtime.network.links import Network
from runtime.process import spawn
from runtime.router.router import Router
from runtime.router.routes import AppRoutes, Endpoint
from runtime.router.runtime_api import RouterDown
from tests.ranges import free_range
from tests.runtime.containers.layers import make_layers
from workers.setup.processes import ROUTER_NICENESS

SECONDS, WARM_UP = 4.0, 0.8
HOST, PORT = "victim.test", 8000
VICTIM_TEAM, BOMB_TEAM = 1, 2
MIB = 2**20
SERVER = """
import asyncio
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
class Answer(asyncio.Protocol):
    def connection_made(self, transport): self.transport, self.data = transport, b""
    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\\r\\n\\r\\n")) >= 0:
            self.data = self.data[end + 4:]
            sum(range(2000))
            self.transport.write(ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_server(Answer, "0.0.0.0", 8000)
    await server.serve_forever()
asyncio.run(main())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bomb:
    """A load of another team: its command, and if it runs as a build or its output is shipped."""

    name: str
    words: tuple[str, ...]
    build: bool = False
    shipped: bool = False  # its output is copied to a log


BOMBS = (
    Bomb(name="sleepers", words=("sleep", "125")),
    Bomb(name="spinners", words=("spin", "60")),
    Bomb(name="pipes", words=("pipe", "60")),
    Bomb(name="log flood", words=("print",), shipped=True),
    Bomb(name="build spinners", words=("spin", "60"), build=True),
    Bomb(name="build sleepers", words=("sleep", "60"), build=True),
    Bomb(name="build writer", words=("write",), build=True),
    Bomb(name="build output", words=("print",), build=True, shipped=True),
)
PROMISE = "<= 1.5x"
BUSY = 80.0  # load average of the machine above which no further measurement starts


class Rig:
    """A node with one app behind its router."""

    def __init__(self, stack: ExitStack) -> None:
        name = f"t{secrets.token_hex(3)}"
        self.place = Path(tempfile.mkdtemp(prefix="slipway-tests-"))
        stack.callback(shutil.rmtree, self.place)
        self.place.chmod(0o711)
        self.config = NodeConfig(
            name=name,
            state=self.place / "state",
            run=self.place / "run",
            network=free_range(),
            http_port=18_000 + os.getpid() % 10_000,
            user="root",
        )
        self.layers = make_layers(self.place)
        bombs = self.layers[1] / "usr/bin/bombs"
        subprocess.run(
            ["cc", "-O2", "-static", "-o", bombs, Path(__file__).with_name("bombs.c")], check=True
        )
        network = Network(self.config)
        self.containers = Containers(self.config, network)
        network.prepare()
        stack.callback(network.tear_down)
        self.containers.prepare()
        stack.callback(self.containers.tear_down)
        limits = TeamLimits(
            cpu=Millicores(1000 * (os.cpu_count() or 1)), memory=Bytes(1024 * MIB), processes=256
        )
        for team in (VICTIM_TEAM, BOMB_TEAM):
            self.containers.set_team_limits(team, limits)
        self._start_router(stack)

    def _start_router(self, stack: ExitStack) -> None:
        router = Router(self.config)
        router.prepare()
        log = stack.enter_context((self.place / "haproxy.log").open("wb"))
        process = spawn(
            ["nice", "-n", str(ROUTER_NICENESS), *router.command()], stdout=log, stderr=log
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        container = self.containers.launch(
            self.spec("victim", VICTIM_TEAM, ("python3", "-c", SERVER))
        )
        assert container.address is not None
        endpoint = Endpoint(instance="victim", address=container.address, port=PORT)
        deadline = time.monotonic() + 60
        while True:
            with suppress(RouterDown):
                router.set(AppRoutes(app="victim", hosts=(HOST,), endpoints=(endpoint,)))
                if max(self.load(0.5)) < FAILED:
                    return
            assert time.monotonic() < deadline, Path(log.name).read_text()
            time.sleep(0.1)

    def spec(
        self, id: str, team: int, command: tuple[str, ...], *, build: bool = False
    ) -> ContainerSpec:
        cpu = Millicores(1000 * (os.cpu_count() or 1))
        return ContainerSpec(
            id=id,
            app=id,
            team=team,
            layers=self.layers,
            command=command,
            environment={"PATH": "/usr/bin:/bin"},
            working_directory="/tmp",
            limits=Limits(cpu=cpu, memory=Bytes(512 * MIB), processes=126, disk=Bytes(512 * MIB)),
            **({"purpose": Purpose.BUILD, "uid": 0, "gid": 0} if build else {}),
        )

    def load(self, seconds: float = SECONDS) -> list[float]:
        words = [
            sys.executable,
            "-m",
            "bench.neighbour_client",
            str(self.config.http_port),
            HOST,
            str(seconds),
        ]
        done = subprocess.run(words, stdout=subprocess.PIPE, check=False, timeout=seconds + 120)
        return list(json.loads(done.stdout)) if done.returncode == 0 else [FAILED]

    @contextmanager
    def next_to(self, bomb: Bomb) -> Iterator[None]:
        """Run a bomb as the platform does."""
        name = f"bomb-{secrets.token_hex(3)}"
        spec = self.spec(name, BOMB_TEAM, ("bombs", *bomb.words), build=bomb.build)
        self.containers.launch(spec)
        words = [
            sys.executable,
            "-m",
            "bench.neighbour_reader",
            str(self.containers.log_path(name)),
            "10" if bomb.build else "0",
        ]
        reader = spawn(words) if bomb.shipped else None
        try:
            time.sleep(WARM_UP)
            yield
        finally:
            if reader is not None:
                reader.terminate()
                reader.wait()
            self.containers.stop(name, grace=0)
            self.containers.remove(name)


def report(rounds: int = 1, wanted: Collection[str] = ()) -> Iterator[tuple[str, str, str]]:
    """Yield (what, promise, found) for each bomb: the percentiles, and the ratio of p99."""
    with ExitStack() as stack:
        rig = Rig(stack)
        for bomb in BOMBS:
            if os.getloadavg()[0] > BUSY:
                yield (
                    "neighbour",
                    PROMISE,
                    f"the load average is over {BUSY:g}: the measurement ends",
                )
                return
            if not wanted or bomb.name in wanted:
                yield f"p99 with {bomb.name}", PROMISE, _compare(rig, bomb, rounds)


def _compare(rig: Rig, bomb: Bomb, rounds: int) -> str:
    alone, next_to = list[tuple[float, float]](), list[tuple[float, float]]()
    for _ in range(rounds):
        alone.append(_percentiles(rig.load()))
        with rig.next_to(bomb):
            next_to.append(_percentiles(rig.load()))
    (p50, p99), (p50_beside, p99_beside) = (
        tuple(map(median, zip(*found, strict=True))) for found in (alone, next_to)
    )
    times = (
        f"p50 {p50:.1f} ms alone, {p50_beside:.1f} with it; p99 {p99:.1f} alone, {p99_beside:.1f}"
        " with it"
    )
    return f"{p99_beside / p99:.1f}x ({times}; load {os.getloadavg()[0]:.1f})"


def _percentiles(times: list[float]) -> tuple[float, float]:
    cuts = quantiles(times, n=100)
    return cuts[49], cuts[98]


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    for what, promise, found in report(rounds, set(sys.argv[2:])):
        print(f"{what:26} {'(' + promise + ')':12} {found}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
