"""Tests of images that go to a registry and to other engines and run there.

Other tests use images of a registry as base images of Dockerfiles.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.builds.builder import Builder
from runtime.config import NodeConfig
from runtime.containers.spec import ContainerSpec
from runtime.errors import BadSource
from runtime.images.exchange.transfer import Access, Transfer
from runtime.images.store import Image, Store
from runtime.images.verify import verify
from runtime.stacks.builder import ensure_stack
from tests.podman import short_folder
from tests.runtime.builds.conftest import LIMITS, Forge
from tests.runtime.images.faulty_registry import Server, server
from tests.runtime.images.test_transfer import open_registry

__all__ = ["open_registry", "server"]
UNIFIED = Path("/sys/fs/cgroup/unified")


@pytest.fixture(scope="module")
def base(node: Forge, open_registry: str) -> str:
    """Push one of our stacks to a registry without passwords, and return its name."""
    digest = ensure_stack(node.config, node.store, progress=node.log.append).digest
    name = f"{open_registry}/library/base:1"
    Transfer(node.config, node.store).send(digest, f"docker://{name}", Access(plain_http=True))
    return name


@pytest.fixture
def reaching(forge: Forge, open_registry: str) -> Iterator[Forge]:
    """Return the node, configured to use plain HTTP with that registry."""
    forge.config, usual, builder = (
        replace(forge.config, plain_registries=(open_registry,)),
        forge.config,
        forge.builder,
    )
    forge.builder = Builder(forge.config, forge.store, forge.containers)
    yield forge
    forge.config, forge.builder = usual, builder


def said_by(forge: Forge, image: Image, command: tuple[str, ...]) -> list[str]:
    """Return the lines that a program of the image prints in a container."""
    lines: list[str] = []
    spec = ContainerSpec(
        id="round",
        app="app",
        team=1,
        layers=image.layers,
        command=command,
        environment=image.config.environment,
        limits=LIMITS,
    )
    try:
        end = forge.containers.run(spec, on_output=lambda _, line: lines.append(line), timeout=60)
    finally:
        forge.containers.remove("round")
    assert end.code == 0, lines
    return lines


def test_a_dockerfile_uses_and_copies_from_images_of_a_registry(reaching: Forge, base: str) -> None:
    dockerfile = f"""
ARG BASE={base}
FROM $BASE AS made
RUN . /etc/os-release && echo "$VERSION_CODENAME" > /made
FROM debian-13
COPY --from={base} /etc/debian_version /copied
COPY --from=made /made /made
CMD ["cat", "/made", "/copied"]
"""
    image = reaching.store.image(reaching.build({"Dockerfile": dockerfile}).digest)
    assert sum(line.startswith(f"Pulling {base}") for line in reaching.log) == 1
    assert sum(line.startswith(f"Pulled {base}: ") for line in reaching.log) == 1
    lines = said_by(reaching, image, image.config.command)
    assert lines[0] == "trixie"
    assert lines[1].startswith("13")
    reaching.build({"Dockerfile": f'FROM {base}\nCMD ["true"]\n'})
    assert "Pull" not in reaching.said(), "it was pulled before"


def test_other_files_are_built_if_the_registry_is_not_available(
    reaching: Forge, server: Server
) -> None:
    server.stop()
    name = f"{server.address}/team/app:1"
    reaching.builder = Builder(
        replace(reaching.config, plain_registries=(server.address,)),
        reaching.store,
        reaching.containers,
    )
    dockerfile = f'FROM {name}\nCMD ["true"]\n'
    built = reaching.build({"Dockerfile": dockerfile, "index.html": "hello"})
    assert "web" in built.processes
    assert (
        f"The Dockerfile starts with {name}. Could not pull the image {name}: " in reaching.said()
    )
    assert "The build uses the other files." in reaching.said()
    with pytest.raises(
        BadSource, match=r"line 1: Could not pull the image .*: .*connection refused"
    ) as refused:
        reaching.build({"Dockerfile": dockerfile, "Procfile": "web: sh run", "run": "true"})
    assert "Images on this node: debian-12, debian-13" in refused.value.hint


def test_an_unknown_image_is_always_an_error_of_the_dockerfile(
    reaching: Forge, open_registry: str, base: str
) -> None:
    with pytest.raises(BadSource, match=r"line 2: Could not pull the image .*: .*unknown"):
        reaching.build(
            {"Dockerfile": f"# x\nFROM {open_registry}/library/none:1\n", "Procfile": "web: true"}
        )
    with pytest.raises(BadSource, match="not a valid image name"):
        reaching.build({"Dockerfile": "FROM Not/AName\n"})


APP = {
    "Dockerfile": (
        "FROM debian-13\nRUN echo 'made here' > /text && ln /text /twice\nUSER 1000:1000\nCMD"
        ' ["cat", "/twice"]\n'
    )
}


def test_an_image_is_pushed_pulled_and_runs(
    forge: Forge, open_registry: str, tmp_path: Path
) -> None:
    digest = forge.build(APP).digest
    name, access = f"docker://{open_registry}/team/app:1", Access(plain_http=True)
    Transfer(forge.config, forge.store).send(digest, name, access)
    elsewhere = NodeConfig(name="tother", state=tmp_path / "state")
    store = Store(elsewhere)
    assert Transfer(elsewhere, store).import_from(name, access).digest == digest
    assert verify(elsewhere, store) == []
    tmp_path.chmod(0o755)
    assert said_by(forge, store.image(digest), ("cat", "/twice")) == ["made here"]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Return a short state folder: podman refuses paths of more than 50 characters."""
    path = short_folder("pod-", Path("/tmp"))
    yield path
    for line in Path("/proc/mounts").read_text().splitlines():
        if line.split()[1].startswith(f"{path}/"):
            subprocess.run(["umount", line.split()[1]], check=True)
    shutil.rmtree(path)


def test_an_image_is_copied_to_podman_and_runs_there(forge: Forge, short_path: Path) -> None:
    digest = forge.build(APP, app="travels").digest
    (name,) = [
        name_in_store
        for name_in_store, pointer in forge.store.index.read()[0].items()
        if pointer.digest == digest and name_in_store.startswith("travels:")
    ]
    place = f"[overlay@{short_path}/root+{short_path}/run]"
    target = f"containers-storage:{place}localhost/travels:1"
    source = f"oci:{forge.config.images}:{name}"
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "--quiet", source, target],
        check=True,
        capture_output=True,
        timeout=120,
    )
    podman = [
        "podman",
        "--root",
        f"{short_path}/root",
        "--runroot",
        f"{short_path}/run",
        "--storage-driver",
        "overlay",
    ]
    podman += ["--cgroup-manager", "cgroupfs"]
    # Root may not set higher limits here.
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
    command = [*podman, "run", "--rm", "--network", "none", *limits, "localhost/travels:1"]
    if UNIFIED.is_dir():  # crun supports only one kind of controllers (KERNEL: hybrid cgroups)
        hide = f'mount -t tmpfs none {UNIFIED} && exec "$@"'
        command = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", hide, "sh", *command]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout) == (0, "made here\n"), ran.stderr
    shown = subprocess.run(
        [*podman, "inspect", "localhost/travels:1"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    assert '"User": "1000:1000"' in shown
