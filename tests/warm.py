"""Stacks and language runtimes for tests: built once, and linked into each test's own state.

Their build takes minutes and is the same for all tests. So they are outside of any run, stored by
the content of their definitions. `python -m tests.warm` builds all that the examples need. It runs
during the first tests, which are pure and are not slowed by it.
"""

from __future__ import annotations

import fcntl
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from runtime import journal
from runtime.builds.base_layers import ensure_base_layers, extra_layers_of_step
from runtime.builds.languages.detect import Source
from runtime.builds.manifest import load
from runtime.builds.plan import BuildPlan, plan
from runtime.builds.source.code import read_app_files, read_source
from runtime.config import NodeConfig
from runtime.images.store import Store
from runtime.stacks.available import offer
from runtime.stacks.builder import ensure_platform_images, ensure_runtime
from runtime.stacks.definition import NODE_DEFAULT, node, stack_of
from runtime.stacks.packages.node_js import node_versions
from runtime.stacks.stack import Runtime
from runtime.trees.folder import Folder

ROOT = Path(__file__).parents[1]
WARM = Path("/var/cache/slipway/tests")


def seed(config: NodeConfig) -> Store:
    """Create a store in `config.state` that already has the platform's first images, and
    Node.js.
    """
    warm = _warm(config)
    config.state.mkdir(parents=True, exist_ok=True)
    with _making():
        _ensure_beginning(warm)
    _hand_over(config)
    return Store(config)


def size() -> int:
    """Return the bytes on the disk that a seeded state needs if it is on another file system."""
    return 512 * sum(path.lstat().st_blocks for path in WARM.rglob("*"))


def add(config: NodeConfig, runtime: Runtime) -> None:
    """Add a language and its stack to a state that was seeded."""
    warm = _warm(config)
    with _making():
        ensure_runtime(warm, Store(warm), runtime, stack_of(runtime))
    _hand_over(config)


@contextmanager
def filling() -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that builds what the examples need; end it with the block."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            (sys.executable, "-m", "tests.warm"), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.terminate()
            if process.wait(60) > 0:
                output.seek(0)
                sys.stderr.write(output.read().decode(errors="replace")[-4000:])


def fill() -> None:
    """Build what the examples need, two at a time: a build often waits for a mirror or a disk."""
    with tempfile.TemporaryDirectory() as run, ThreadPoolExecutor(2) as pool:
        warm = NodeConfig(name=f"t{secrets.token_hex(3)}", state=WARM, run=Path(run))
        with _making():
            _ensure_beginning(warm)
        for done in [
            pool.submit(_ground, warm, path)
            for path in sorted((ROOT / "examples").iterdir())
            if path.is_dir()
        ]:
            done.result()


def _ground(warm: NodeConfig, example: Path) -> None:
    with Folder.at(example) as tree:
        app_file, found = load.read(read_app_files(tree)), read_source(tree)
    source = Source(files=found.files, texts=found.texts, app_file=app_file)
    decided = plan(source, lambda: node_versions(warm), offer(warm).pythons)
    with _making():
        _lay(warm, decided)


@contextmanager
def _making(*, copying: bool = False) -> Iterator[None]:
    """Hold the lock of the warm store: shared while things are made, exclusive for a copy.

    So nothing is copied while it is incomplete. A queue keeps the order of arrival, which flock(2)
    does not define.
    """
    WARM.mkdir(parents=True, exist_ok=True)
    with (WARM / "lock").open("a") as file:
        with journal.lock(WARM / "queue"):
            fcntl.flock(file, fcntl.LOCK_EX if copying else fcntl.LOCK_SH)
        yield


def _lay(warm: NodeConfig, decided: BuildPlan) -> None:
    if decided.earlier is not None:
        _lay(warm, decided.earlier)
    ensure_base_layers(warm, Store(warm), decided, print, print)
    for install in decided.installs:
        extra_layers_of_step(warm, Store(warm), install.build_runtimes, decided.stack, print)


def _ensure_beginning(warm: NodeConfig) -> None:
    ensure_platform_images(warm)
    ensure_runtime(warm, Store(warm), node(NODE_DEFAULT), stack_of(None))


def _warm(config: NodeConfig) -> NodeConfig:
    return NodeConfig(name=config.name, state=WARM, run=config.run)


def _hand_over(config: NodeConfig) -> None:
    """Add the blobs, layers, notes and index that `config.state` lacks, as links or copies."""
    linked = WARM.stat().st_dev == config.state.stat().st_dev
    with _making(copying=True):
        for folder in ("images", "images/blobs/sha256", "layers", "cache", "cache/stacks"):
            target = config.state / folder
            target.mkdir(parents=True, exist_ok=True)
            there = {path.name for path in target.iterdir()}
            if fresh := [path for path in (WARM / folder).iterdir() if path.name not in there]:
                subprocess.run(["cp", "-al" if linked else "-a", *fresh, target], check=True)


if __name__ == "__main__":
    fill()
