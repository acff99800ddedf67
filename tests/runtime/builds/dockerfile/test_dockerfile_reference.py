"""Comparison of each Dockerfile in dockerfiles/ with Debian's buildah: equal files and equal
configuration.

If that buildah lacks a feature (heredocs, --exclude, …), Dockerfile.reference expresses it with
older instructions.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest

from runtime.builds.budget import Budget
from runtime.builds.context import BuildContext
from runtime.builds.dockerfile import build as dockerfile
from runtime.builds.dockerfile.build import Made
from runtime.builds.dockerfile.run.values import Options
from runtime.builds.layer_cache import StepCache
from runtime.builds.manifest.procfile import parse
from runtime.builds.packages.cache import PackageCaches
from runtime.confined.session import Confinement
from runtime.containers.disk.overlay import MountRoot
from runtime.images.exchange.pulls import Pulls
from runtime.images.manifest import ImageConfig, parse_config
from runtime.images.scratch import remove_tree
from runtime.kernel import Kernel
from tests.runtime.builds.conftest import LIMITS, Forge

CASES = Path(__file__).parent / "dockerfiles"
# Mount points and mounted files.
NOT_COMPARED = {"proc", "sys", "dev", "run", "etc/hosts", "etc/resolv.conf", "etc/hostname"}


@dataclass(frozen=True, slots=True)
class Buildah:
    folder: Path

    def __call__(self, *words: str, check: bool = True) -> str:
        storage = [
            "--root",
            f"{self.folder}/root",
            "--runroot",
            f"{self.folder}/run",
            "--storage-driver",
            "overlay",
        ]
        done = subprocess.run(
            ["buildah", *storage, *words], capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr + done.stdout
        return done.stdout.strip()


@pytest.fixture(scope="module")
def buildah(node: Forge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    run = Buildah(tmp_path_factory.mktemp("buildah"))
    image = run("pull", f"oci:{node.config.images}:stack/debian-13").splitlines()[-1]
    # Adds the history that `bud` needs.
    run("commit", "--squash", run("from", image), "localhost/debian-13")
    yield run
    run("rm", "--all", check=False)
    run("rmi", "--all", "--force", check=False)
    subprocess.run(["umount", f"{run.folder}/root/overlay"], capture_output=True, check=False)


def prepared(case: str, folder: Path) -> Path:
    source = folder / "source"
    shutil.copytree(CASES / case, source, symlinks=True)
    if case == "add-archive":
        for name, mode in (
            ("bundle.tar.gz", "w:gz"),
            ("plain.tar", "w"),
            ("bundle.tar.xz", "w:xz"),
        ):
            with tarfile.open(source / name, mode) as tar:
                for path, kind, owner, bits in (
                    ("d", tarfile.DIRTYPE, 5, 0o750),
                    ("d/f", tarfile.REGTYPE, 6, 0o640),
                ):
                    info = tarfile.TarInfo(path)
                    info.type, info.uid, info.gid, info.mode = kind, owner, owner, bits
                    data = b"content" if kind == tarfile.REGTYPE else b""
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
                link = tarfile.TarInfo("d/l")
                link.type, link.linkname = tarfile.SYMTYPE, "f"
                tar.addfile(link)
        (source / "notes.gz").write_bytes(b"\x1f\x8bnot really")
    return source


def build(forge: Forge, source: Path, *, team: int = 1, **more) -> Made:
    workspace = forge.config.workspaces / f"test-{time.monotonic_ns()}"
    workspace.mkdir(mode=0o711, parents=True)
    options = Options(
        arguments=more.get("arguments", {}), secrets=more.get("secrets", {}), proxies={}
    )
    try:

        def resolve(name: str) -> str:
            return Pulls(forge.config, forge.store).find(
                name, forge.log.append, deadline=time.monotonic() + 60
            )

        procfile = source / "Procfile"
        declared = parse(procfile.read_text()) if procfile.exists() else {}
        with Confinement().session(team) as helper:
            context = BuildContext(
                build_id=9,
                app="app",
                team=team,
                limits=LIMITS,
                workspace=workspace,
                budget=Budget(120, print),
                log=forge.log.append,
                helper=helper,
                config=forge.config,
                store=forge.store,
                containers=forge.containers,
                cache=StepCache(forge.config, forge.store),
                packages=PackageCaches(forge.config),
            )
            text = (source / "Dockerfile").read_bytes()
            return dockerfile.build(
                context,
                source,
                text,
                options,
                resolve=more.get("resolve", resolve),
                substitutes=more.get("substitutes", False),
                declared=declared,
            )
    finally:
        remove_tree(workspace)


def reference_tree(buildah: Buildah) -> dict[str, tuple]:
    container = buildah("from", "reference")
    try:
        return snapshot(Path(buildah("mount", container)))
    finally:
        buildah("rm", container)


def ours(forge: Forge, made: Made, space: Path) -> dict[str, tuple]:
    paths = tuple(forge.store.unpacked(layer) for layer in reversed(made.layers))
    for name in ("upper", "work", "root"):
        (space / name).mkdir(parents=True)
    top, kernel = space / "root", Kernel()
    MountRoot(
        layers=paths,
        scratch=space,
        target=top,
        clones=space / "clones",
        layer_ids=None,
        upper_ids=None,
    ).execute(kernel)
    try:
        return snapshot(top)
    finally:
        kernel.unmount(top)


def snapshot(root: Path) -> dict[str, tuple]:
    """Map each name to its kind, mode, owners, and content or link.

    Hard links have the first name of their inode as content.
    """
    found: dict[str, tuple] = {}
    names: dict[int, list[str]] = {}
    pending = [""]
    while pending:
        prefix = pending.pop()
        for entry in sorted(os.scandir(root / prefix), key=lambda item: item.name):
            name = f"{prefix}{entry.name}"
            if name in NOT_COMPARED:
                continue
            status = entry.stat(follow_symlinks=False)
            content = ""
            if stat.S_ISREG(status.st_mode):
                content = hashlib.sha256(Path(entry.path).read_bytes()).hexdigest()
                names.setdefault(status.st_ino, []).append(name)
            elif stat.S_ISLNK(status.st_mode):
                content = str(Path(entry.path).readlink())
            elif stat.S_ISDIR(status.st_mode):
                pending.append(f"{name}/")
            else:
                content = str(status.st_rdev)
            found[name] = (oct(status.st_mode), status.st_uid, status.st_gid, content)
    for linked in names.values():
        for name in linked[1:]:
            found[name] = (*found[name], f"linked to {linked[0]}")
    return found


def comparable(config: ImageConfig) -> dict:
    own = {
        name: value
        for name, value in config.labels.items()
        if not name.startswith(("io.buildah", "slipway"))
    }
    # Each builder describes them differently.
    document = asdict(replace(config, labels=own, user=config.user or "0:0", history=()))
    return json.loads(json.dumps(document))


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_a_dockerfile_builds_the_same_image_as_the_reference_builder(
    case: str, forge: Forge, buildah: Buildah, tmp_path: Path
) -> None:
    source = prepared(case, tmp_path)
    made = build(forge, source)
    file = (
        source / "Dockerfile.reference"
        if (source / "Dockerfile.reference").exists()
        else source / "Dockerfile"
    )
    buildah(
        "bud",
        "--isolation",
        "chroot",
        "--layers=false",
        "--format",
        "docker",
        "-f",
        str(file),
        "-t",
        "reference",
        str(source),
    )
    raw = json.loads(buildah("inspect", "--type", "image", "reference"))["Docker"]
    config, _ = parse_config(json.dumps(raw).encode())
    found = ours(forge, made, tmp_path / "union")
    # `from` would run the triggers.
    expected = found if config.on_build else reference_tree(buildah)
    assert {
        name: (found.get(name), expected.get(name))
        for name in found.keys() | expected.keys()
        if found.get(name) != expected.get(name)
    } == {}
    if file.name == "Dockerfile":
        assert comparable(made.config) == comparable(config)
