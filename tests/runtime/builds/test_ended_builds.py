"""Tests of builds that are killed, cancelled, frozen or out of space at any moment.

The reason is reported, the store is valid, and nothing remains.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from runtime.builds.pressure import Pressure
from runtime.builds.requests import BuiltImage
from runtime.engines.node import NodeEngine
from runtime.errors import BuildFailed, Cancelled
from runtime.images.verify import verify
from runtime.kernel import Kernel
from tests.runtime.builds.conftest import Forge
from tests.runtime.containers.conftest import settle
from workers.supervisor.memory_pressure import MemoryPressure

# On a busy machine with a shared disk, these tests take several minutes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SEED = 20_260_801
KILLS, CANCELS = 30, 10
TIGHT, EASY = Pressure(stalled=80.0, available=50.0), Pressure(stalled=0.0, available=50.0)


def dockerfile_app(mark: str) -> dict[str, str]:
    """Return a Dockerfile app with several steps of each kind. `mark` makes all of them new."""
    return {
        "Dockerfile": (
            f"FROM debian-13 AS first\nRUN echo {mark} > /one && cp -r /usr/share/zoneinfo/Europe"
            f" /zones\nFROM first\nCOPY . /app\nWORKDIR /new/{mark}\nRUN"
            " --mount=type=cache,target=/c cp /one /c/ && rm -rf /zones\nCOPY --from=first /one"
            " /two\nCMD sleep 9\n"
        ),
        **{f"files/{number}": f"{mark} {number}\n" * 50 for number in range(20)},
    }


def script_app(mark: str) -> dict[str, str]:
    """Return an app with an install step that reads the whole source."""
    package = {"name": "x", "scripts": {"build": "mkdir -p out && cp -r files out/", "start": "x"}}
    return {
        "package.json": json.dumps(package),
        **{f"files/{number}": f"{mark} {number}\n" * 50 for number in range(20)},
    }


SOURCES = (dockerfile_app, script_app)
YARD = """
import json, os, sys
from ipaddress import IPv4Network
from pathlib import Path
from runtime.builds.builder import Builder
from runtime.builds.requests import BuildRequest
from runtime.config import NodeConfig
from runtime.containers.lifecycle import Containers
from runtime.images.store import Store
from runtime.network.links import Network
from tests.runtime.builds.conftest import LIMITS
name, state, run, network = json.loads(sys.stdin.readline())
config = NodeConfig(name=name, state=Path(state), run=Path(run), network=IPv4Network(network))
for line in sys.stdin:
    number, archive = json.loads(line)
    child = os.fork()
    if not child:
        os.setsid()
        request = BuildRequest(build_id=number, app="app", team=1, archive=Path(archive), filename="source.tar.gz", limits=LIMITS)
        Builder(config, Store(config), Containers(config, Network(config))).build(request, lambda _: None)
        os._exit(0)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("gone", flush=True)
"""  # noqa: E501


@contextmanager
def yard(forge: Forge) -> Iterator[subprocess.Popen[str]]:
    """Start a process that forks a child for each build, so that a kill needs no new Python."""
    process = subprocess.Popen(
        [sys.executable, "-c", YARD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdin is not None
    config = forge.config
    process.stdin.write(
        json.dumps([config.name, str(config.state), str(config.run), str(config.network)]) + "\n"
    )
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


def ordered(process: subprocess.Popen[str], forge: Forge, files: dict[str, str]) -> int:
    """Start a build in that process, and return the pid of its child."""
    request = forge.request(files)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([request.build_id, str(request.archive)]) + "\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def moments(whole: float, count: int) -> list[float]:
    """Return random moments, evenly spread over the build."""
    chance = random.Random(SEED)
    return [whole * (number + chance.random()) / count for number in range(count)]


def nothing_left(forge: Forge) -> None:
    """Check that no container, mount, workspace, temporary file or control group of a build
    remains.
    """
    assert forge.leftovers() == []
    places = (str(forge.config.instances), str(forge.config.workspaces))
    assert [
        line
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if any(place in line for place in places)
    ] == []
    parents = [
        path / forge.config.cgroup_parent / "builds"
        for path in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir())
    ]
    assert [group for parent in parents for group in parent.glob("team*/*") if group.is_dir()] == []


def test_killed_builds_leave_a_valid_store_and_nothing_else(forge: Forge) -> None:
    with yard(forge) as process:
        assert process.stdout is not None
        # The first build of each kind fills the caches for the others.
        for name in ("first", "whole"):
            began = time.monotonic()
            for source in SOURCES:
                ordered(process, forge, source(name))
                assert process.stdout.readline() == "gone\n"
            whole = (time.monotonic() - began) / len(SOURCES)
        swept = 0
        for number, moment in enumerate(moments(whole, KILLS)):
            pid = ordered(process, forge, SOURCES[number % 2](f"kill{number}"))
            time.sleep(moment)
            with suppress(ProcessLookupError):  # it has ended already
                os.kill(pid, signal.SIGKILL)
            assert process.stdout.readline() == "gone\n"
            words = [*forge.containers.sweep(), *forge.builder.sweep()]
            settle(
                lambda: (
                    forge.leftovers() == []
                    or (words.extend((*forge.containers.sweep(), *forge.builder.sweep())), False)[1]  # noqa: B023
                ),
                30,
            )  # at once
            nothing_left(forge)
            swept += bool(words)
    assert swept >= KILLS // 4, "the moments were all too late or too early"
    assert verify(forge.config, forge.store) == []
    again = forge.build(dockerfile_app("kill3"))
    assert again.digest == forge.build(dockerfile_app("kill3"), app="other").digest


def test_cancelled_builds_end_soon_and_leave_nothing(forge: Forge) -> None:
    began = time.monotonic()
    for source in SOURCES:
        forge.build(source("uncancelled"))
    whole = (time.monotonic() - began) / len(SOURCES)
    cancelled = 0
    for number, moment in enumerate(moments(whole, CANCELS)):
        until = time.monotonic() + moment
        try:
            forge.build(
                SOURCES[number % 2](f"cancel{number}"),
                cancelled=lambda: time.monotonic() > until,  # noqa: B023
            )  # called in this round
        except Cancelled:
            cancelled += 1
            assert time.monotonic() - until < 10  # usually much less than one second
        nothing_left(forge)
    # The last test of this file verifies the store.
    assert cancelled >= CANCELS // 2


def test_a_build_freezes_under_memory_pressure_and_can_be_cancelled(forge: Forge) -> None:
    engine = NodeEngine(
        forge.config, containers=forge.containers, images=forge.store, builder=forge.builder
    )
    now = [EASY]
    giving_way = MemoryPressure(engine, read=lambda: now[0])
    giving_way.round()
    stop = threading.Event()
    ended: list[BuiltImage | BuildFailed] = []

    def work() -> None:
        files = {
            "Dockerfile": (
                "FROM debian-13\nRUN i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo tick $i; sleep"
                " 0.02; done\nCMD x\n"
            )
        }
        try:
            ended.append(forge.build(files, cancelled=stop.is_set))
        except BuildFailed as failure:
            ended.append(failure)

    def ticks() -> int:
        return sum("tick" in line for line in forge.log)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        settle(lambda: ticks() > 3, 60)
        now[0] = TIGHT
        giving_way.round()
        settle(lambda: "the build is frozen until more is free" in forge.said(), 30)
        time.sleep(0.3)  # time for lines that it printed before
        still = ticks()
        time.sleep(0.5)
        assert ticks() == still
        now[0] = EASY
        giving_way.round()
        settle(lambda: ticks() > still + 3, 30)
        assert "Memory is free again: the build continues after" in forge.said()
        now[0] = TIGHT
        giving_way.round()
        settle(lambda: forge.said().count("the build is frozen") == 2, 30)
    finally:
        stop.set()
        thread.join(60)
    assert isinstance(ended[0], Cancelled)
    nothing_left(forge)
    giving_way.round()


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Mount a full disk at that folder."""
    folder.mkdir(parents=True, exist_ok=True)
    Kernel().mount("tmpfs", folder, "tmpfs", options="size=256k,mode=755")
    try:
        with suppress(OSError), (folder / "ballast").open("wb") as ballast:
            while True:
                ballast.write(bytes(4096))
                ballast.flush()
        yield
    finally:
        Kernel().unmount(folder)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "place", ["builds", "instances", "layers/ingest", "images/ingest", "cache/steps"]
)
def test_a_full_disk_is_reported_and_the_next_build_succeeds(
    forge: Forge, place: str, source: object
) -> None:
    assert callable(source)
    files = source(f"full {place}".replace("/", "-").replace(" ", "-"))
    with (
        full(forge.config.state / place),
        pytest.raises(BuildFailed, match="The disk of this node became full") as caught,
    ):
        forge.build(files)
    assert "manage.py image df" in caught.value.hint
    nothing_left(forge)
    assert forge.store.sweep() == []
    forge.build(files)


def test_the_store_is_valid_after_all_of_these_builds(forge: Forge) -> None:
    assert verify(forge.config, forge.store) == []
