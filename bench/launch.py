"""The time from `launch` to the first HTTP answer of hello, compared with a bare process.

Also compared with podman and docker, where they are installed. The runs alternate, so that a busy
moment of the machine affects all of them.
"""

import json
import os
import resource
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.config import NodeConfig
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import ContainerSpec, Limits
from runtime.contract.quantities import Bytes, Millicores
from runtime.images.store import Store
from runtime.network.links import Network

ROUNDS = 10
PORT = 8000
TEAM = 900  # an id range no team has
HELLO = Path(__file__).parents[1] / "examples" / "hello"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    name: str
    run: Callable[[], float]  # returns the milliseconds to the first answer, and cleans up


class PeerFailed(Exception):
    """The other tool could not run the container. The text is its own message."""


def measure(config: NodeConfig, image: str, peers: Sequence[Way]) -> dict[str, float]:
    """Return the medians in milliseconds by the way's name.

    `image` is the digest of a built hello.
    """
    ways = [
        Way(name="bare process", run=_bare),
        Way(name="slipway", run=Hello(config, image).once),
        *peers,
    ]
    times: dict[str, list[float]] = {way.name: [] for way in ways}
    for way in ways:
        way.run()  # not measured: fills the page cache, compiles Python
    for _ in range(ROUNDS):
        for way in ways:
            times[way.name].append(way.run())
    return {name: statistics.median(found) for name, found in times.items()}


def report(config: NodeConfig, image: str) -> list[str]:
    peers, absent = _peers(config, image)
    medians = measure(config, image, peers)
    bare, ours = medians["bare process"], medians["slipway"]
    lines = [f"{ours:.0f} ms; bare process {bare:.0f} ms; difference {ours - bare:.0f} ms"]
    for name, found in medians.items():
        if name not in {"bare process", "slipway"}:
            lines.append(f"{name} {found:.0f} ms: {found / ours:.1f} times ours")
    return lines + [f"{name}: {why}" for name, why in absent.items()]


class Hello:
    """Containers of a built hello, outside of any app."""

    def __init__(self, config: NodeConfig, image: str) -> None:
        self._containers = Containers(config, Network(config))
        self._image = Store(config).image(image)

    def once(self) -> float:
        """Return the milliseconds from nothing to the first answer."""
        spec = self._spec(Millicores(2000))
        begun = time.perf_counter()
        try:
            self._containers.launch(spec)
            return self._answered(spec.id, begun)
        finally:
            self._containers.remove(spec.id)

    def own_start(self, cpu: Millicores) -> float:
        """Return the milliseconds from the start of a created container to its first answer.

        This is the app's own share.
        """
        spec = self._spec(cpu)
        try:
            self._containers.create(spec)
            begun = time.perf_counter()
            self._containers.start(spec.id)
            return self._answered(spec.id, begun)
        finally:
            self._containers.remove(spec.id)

    def _answered(self, id: str, begun: float) -> float:
        state = self._containers.state(id)
        assert state is not None
        assert state.address is not None
        _first_answer(state.address, PORT)
        return (time.perf_counter() - begun) * 1000

    def _spec(self, cpu: Millicores) -> ContainerSpec:
        return ContainerSpec(
            id=f"bench-{secrets.token_hex(4)}",
            app="bench",
            team=TEAM,
            layers=self._image.layers,
            command=("/bin/sh", "-c", "exec python3 hello.py"),
            environment={**self._image.config.environment, "PORT": str(PORT), "HOME": "/tmp"},
            working_directory="/app",
            limits=Limits(
                cpu=cpu, memory=Bytes(512 * 2**20), processes=128, disk=Bytes(512 * 2**20)
            ),
        )


def _bare() -> float:
    port = _free_port()
    begun = time.perf_counter()
    process = subprocess.Popen(
        [shutil.which("python3", path="/usr/bin") or sys.executable, "hello.py"],
        cwd=HELLO,
        env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _first_answer("127.0.0.1", port)
        return (time.perf_counter() - begun) * 1000
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _peers(config: NodeConfig, image: str) -> tuple[list[Way], dict[str, str]]:
    """Return podman and docker with the same image, and the reasons why one is missing.

    skopeo copies the image to them.
    """
    found, absent = [], {}
    for program, place in (("podman", "containers-storage"), ("docker", "docker-daemon")):
        if (
            shutil.which(program) is None
            or subprocess.run([program, "info"], capture_output=True, check=False).returncode
        ):
            absent[program] = "not installed, or its daemon does not answer"
            continue
        name = _lend(config, image, place)
        way = Way(
            name=f"{program} run", run=lambda program=program, name=name: _peer(program, name)
        )
        try:
            way.run()
        except PeerFailed as failed:
            absent[program] = f"cannot run a container on this machine ({failed})"
        else:
            found.append(way)
    return found, absent


def _lend(config: NodeConfig, image: str, place: str) -> str:
    """Copy our image to another tool. A separate index names it, as skopeo finds images by name."""
    layout = config.run / "bench-layout"
    layout.mkdir(exist_ok=True)
    (layout / "oci-layout").write_bytes((config.images / "oci-layout").read_bytes())
    if not (layout / "blobs").is_symlink():
        (layout / "blobs").symlink_to(config.images / "blobs")
    blob = config.images / "blobs" / "sha256" / image.removeprefix("sha256:")
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": image,
        "size": blob.stat().st_size,
        "annotations": {"org.opencontainers.image.ref.name": "hello"},
    }
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    name = "localhost/slipway-bench-hello:latest"
    subprocess.run(
        ["skopeo", "copy", "--quiet", f"oci:{layout}:hello", f"{place}:{name}"], check=True
    )
    shutil.rmtree(layout)
    return name


def _peer(program: str, image: str) -> float:
    port, name = _free_port(), f"slipway-bench-{secrets.token_hex(4)}"
    begun = time.perf_counter()
    process = subprocess.Popen(
        [
            program,
            "run",
            "--rm",
            "--name",
            name,
            *_own_limits(),
            "-e",
            f"PORT={PORT}",
            "-p",
            f"127.0.0.1:{port}:{PORT}",
            image,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _first_answer("127.0.0.1", port, lives=lambda: process.poll() is None)
        return (time.perf_counter() - begun) * 1000
    except TimeoutError as error:
        if process.poll() is None:
            raise
        assert process.stderr is not None
        raise PeerFailed(
            (process.stderr.read().splitlines() or ["it ended without a message"])[-1]
        ) from error
    finally:
        subprocess.run([program, "kill", name], capture_output=True, check=False)
        process.wait(30)


def _own_limits() -> list[str]:
    """Return options with this process's own limits.

    By default, these tools request a million open files, which some machines do not allow even
    root.
    """
    limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    return [
        word
        for name, which in limits.items()
        for word in ("--ulimit", f"{name}={resource.getrlimit(which)[1]}")
    ]


def _first_answer(address: str, port: int, *, lives: Callable[[], bool] = lambda: True) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and lives():
        try:
            with socket.create_connection((address, port), timeout=5) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                if connection.recv(12) == b"HTTP/1.1 200":
                    return
        except OSError:
            pass
        time.sleep(0.0005)
    raise TimeoutError(f"{address}:{port} did not answer within 30 s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
