"""Comparison of builds and layers with other tools: `python -m bench.builds`, also in `make bench`.

It has its own state. Each line is a ratio or a duration of one run. The runs of the tools
alternate, so that a busy moment of the machine affects all of them.
"""

import itertools
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from runtime.builds.builder import Builder
from runtime.builds.requests import BuildRequest
from runtime.config import NodeConfig
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import Limits
from runtime.contract.quantities import Bytes, Millicores
from runtime.images.store import Store
from runtime.network.links import Network
from runtime.process import run
from runtime.stacks.builder import ensure_stack
from tests.podman import short_folder
from tests.ranges import free_range
from tests.system.support import archives
from tests.warm import seed

ROUNDS = 5
APPS = 50
LIMITS = Limits(cpu=Millicores(2000), memory=Bytes(1 << 30), processes=512, disk=Bytes(2 << 30))
STEPS = (  # no package manager: this compares the builders, not a mirror
    "WORKDIR /app",
    "COPY files /app/files",
    "RUN find /usr/share -type f | wc -l > /count",
    "RUN cp -r /usr/share/zoneinfo /zones",
    "RUN rm -rf /zones/Europe",
    "COPY code /app/code",
    "CMD sleep 9",
)


@dataclass(slots=True, kw_only=True)
class Yard:
    """A node that builds, with the stacks of the tests."""

    config: NodeConfig
    store: Store
    containers: Containers
    builder: Builder
    folder: Path
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def build(self, archive: bytes, *, app: str = "bench") -> float:
        """Build an archive. Return the seconds until the image exists."""
        path = self.folder / "source.tar.gz"
        path.write_bytes(archive)
        request = BuildRequest(
            build_id=next(self._numbers),
            app=app,
            team=900,
            archive=path,
            filename=path.name,
            limits=LIMITS,
        )
        begun = time.perf_counter()
        self.builder.build(request, lambda _: None)
        return time.perf_counter() - begun

    def disk(self) -> int:
        """Return the bytes of images and layers. A file with several names counts once."""
        words = ["du", "-s", "-B1", self.config.images, self.config.layers]
        return sum(
            int(line.split()[0])
            for line in subprocess.run(
                words, capture_output=True, check=True, text=True
            ).stdout.splitlines()
        )


def report() -> Iterator[tuple[str, str, str]]:
    """Yield (what, promise, found) for each measurement."""
    with yard() as made:
        first = made.build(archives.example("flask-counter"))
        same = [made.build(archives.example("flask-counter")) for _ in range(ROUNDS)]
        code = [
            made.build(
                archives.example("flask-counter", {"templates/counter.html": f"<p>{number}</p>"})
            )
            for number in range(ROUNDS)
        ]
        yield (
            "no-change rebuild",
            "<= 0.3 s",
            (
                f"{_median(same):.2f} s median, {max(same):.2f} s worst; the first build took"
                f" {first:.1f} s"
            ),
        )
        yield (
            "code-only change",
            "<= 1 s",
            f"{_median(code):.2f} s median, {max(code):.2f} s worst, up to the image",
        )
        yield "50 apps, one base", "stored once", _fifty(made)
        yield "unpack a layer", "<= 2x tar", _ratio(*_unpacking(made))
        yield "diff a layer", "<= 2x tar", _ratio(*_packing(made))
        yield from _dockerfile(made)


@contextmanager
def yard() -> Iterator[Yard]:
    place = short_folder("slipway-tests-", Path("/var/tmp"))
    place.chmod(0o755)
    config = NodeConfig(
        name=f"t{secrets.token_hex(3)}",
        state=place / "state",
        run=place / "run",
        network=free_range(),
    )
    store, network = seed(config), Network(config)
    containers = Containers(config, network)
    try:
        network.prepare()
        containers.prepare()
        yield Yard(
            config=config,
            store=store,
            containers=containers,
            builder=Builder(config, store, containers),
            folder=place,
        )
    finally:
        containers.tear_down()
        network.tear_down()
        shutil.rmtree(place)


def _fifty(made: Yard) -> str:
    base = sum(layer.stat().st_size for layer in _tree(made.store.image(_base(made)).layers[0]))
    before = made.disk()
    for number in range(APPS):
        made.build(
            archives.app({"Procfile": "web: sh run.sh\n", "run.sh": f"echo {number}\n"}),
            app=f"app{number}",
        )
    return f"a base of {Bytes(base)}; {APPS} apps on it added {Bytes(made.disk() - before)}"


def _unpacking(made: Yard) -> tuple[list[float], list[float]]:
    """Return the seconds to unpack, check and sync the base layer: ours, and tar's with zstd."""
    (layer,) = made.store.layers_of(_base(made))
    blob = made.store.blob(layer.digest)

    def ours(target: Path) -> None:
        made.store.reader.unpack(layer.digest, layer.diff_id, target)

    def theirs(target: Path) -> None:
        target.mkdir()
        subprocess.run(
            ["tar", "--zstd", "--xattrs", "--numeric-owner", "-xpf", blob, "-C", target], check=True
        )
        subprocess.run(["sync", "-f", target], check=True)

    return _interleaved(made, ours, theirs)


def _packing(made: Yard) -> tuple[list[float], list[float]]:
    """Return the seconds to pack the base layer: ours with both digests, and tar's with zstd."""
    tree = made.store.image(_base(made)).layers[0]

    def ours(target: Path) -> None:
        Store(NodeConfig(state=target, run=target)).add_layer(tree)

    def theirs(target: Path) -> None:
        target.mkdir()
        subprocess.run(["cp", "-a", f"{tree}/.", target / "tree"], check=True)
        subprocess.run(
            [
                "tar",
                "-I",
                "zstd -3",
                "--xattrs",
                "--numeric-owner",
                "-cf",
                target / "layer",
                "-C",
                target / "tree",
                ".",
            ],
            check=True,
        )
        subprocess.run(["sync", "-f", target], check=True)

    return _interleaved(made, ours, theirs)


def _dockerfile(made: Yard) -> Iterator[tuple[str, str, str]]:
    """Build the same Dockerfile here and with buildah, all steps new and all cached."""
    if shutil.which("buildah") is None:
        yield "Dockerfile", "<= buildah", "buildah is not installed"
        return
    buildah = _Buildah(made)
    try:
        cold: tuple[list[float], list[float]] = ([], [])
        cached: tuple[list[float], list[float]] = ([], [])
        for number in range(ROUNDS):
            files = _source(number)
            cold[0].append(made.build(archives.app(files)))
            cold[1].append(buildah.build(files))
            cached[0].append(made.build(archives.app(files)))
            cached[1].append(buildah.build(files))
        yield "Dockerfile, cold", "<= buildah", _ratio(*cold, peer="buildah")
        yield "Dockerfile, cached", "<= buildah", _ratio(*cached, peer="buildah")
    finally:
        buildah.clean()


def _source(number: int) -> dict[str, str]:
    """Return a source. A different `number` makes all of its steps new."""
    files = {f"files/{file_number}": f"{number} {file_number}\n" * 20 for file_number in range(100)}
    return {
        "Dockerfile": "\n".join(("FROM debian-13", f"ENV ROUND={number}", *STEPS)) + "\n",
        **files,
        "code/main": f"{number}\n",
    }


class _Buildah:
    def __init__(self, made: Yard) -> None:
        self._folder = made.folder / "buildah"
        self._folder.mkdir()
        _base(made)
        image = self("pull", f"oci:{made.config.images}:stack/debian-13").splitlines()[-1]
        self("commit", "--squash", self("from", image), "localhost/debian-13")

    def __call__(self, *words: str) -> str:
        storage = [
            "--root",
            f"{self._folder}/root",
            "--runroot",
            f"{self._folder}/run",
            "--storage-driver",
            "overlay",
        ]
        return run(["buildah", *storage, *words], timeout=300).stdout.decode().strip()

    def build(self, files: dict[str, str]) -> float:
        source = self._folder / "source"
        for name, text in files.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        begun = time.perf_counter()
        self(
            "bud",
            "--isolation",
            "chroot",
            "--layers",
            "--format",
            "oci",
            "-t",
            "bench",
            str(source),
        )
        return time.perf_counter() - begun

    def clean(self) -> None:
        for words in (("rm", "--all"), ("rmi", "--all", "--force")):
            self(*words)
        subprocess.run(["umount", f"{self._folder}/root/overlay"], capture_output=True, check=False)


def _base(made: Yard) -> str:
    return ensure_stack(made.config, made.store, progress=lambda _: None).digest


def _tree(folder: Path) -> Iterator[Path]:
    return (
        Path(at, name)
        for at, _, names in os.walk(folder)
        for name in names
        if not Path(at, name).is_symlink()
    )


def _interleaved(
    made: Yard, ours: Callable[[Path], None], theirs: Callable[[Path], None]
) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for way, found in zip((ours, theirs), times, strict=True):
            target = made.folder / "target"
            begun = time.perf_counter()
            way(target)
            found.append(time.perf_counter() - begun)
            shutil.rmtree(target)
    return times


def _ratio(ours: list[float], theirs: list[float], *, peer: str = "tar") -> str:
    return (
        f"{_median(ours):.2f} s, {peer} {_median(theirs):.2f} s:"
        f" {_median(ours) / _median(theirs):.2f} times {peer}'s"
    )


def _median(times: list[float]) -> float:
    return statistics.median(times)


def main() -> int:
    for what, promise, found in report():
        print(f"{what:18} {'(' + promise + ')':21} {found}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
