"""Tests of layers: containers share them and never change them.

A container's changes are its own; those of a build become a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.containers.container import Exit
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import Bind, ContainerSpec, Purpose
from runtime.errors import LaunchFailed
from runtime.kernel import Kernel
from tests.runtime.containers.conftest import printed, settle

Output = Callable[..., tuple[Exit, list[str]]]
Spec = Callable[..., ContainerSpec]
AS_ROOT = {"uid": 0, "gid": 0, "purpose": Purpose.BUILD}


def test_two_containers_share_layers_and_see_only_their_own_changes(
    containers: Containers, spec: Spec, layers: tuple[Path, ...]
) -> None:
    before = _picture(layers)
    first, second = (
        spec("sh", "-c", f"echo {name} > /tmp/mine; cat /tmp/mine /word; sleep 60")
        for name in ("one", "two")
    )
    for wanted in (first, second):
        containers.launch(wanted)
    for wanted, name in ((first, "one"), (second, "two")):
        settle(partial(_has_printed, containers, wanted.id, 2), 30)
        assert printed(containers, wanted.id) == [name, "from the top layer"]
    assert _picture(layers) == before


def test_the_writable_layer_of_a_build_has_real_ids_and_no_mount_points(
    containers: Containers, spec: Spec, layers: tuple[Path, ...]
) -> None:
    script = (
        "echo changed > /word; mkdir /app/new; touch /app/new/root; touch /app/mine; chown"
        " 1000:1000 /app/mine; rm /usr/bin/true; id -u"
    )
    wanted = spec(
        "sh",
        "-c",
        script,
        binds=(Bind(source=Path("/etc/os-release"), target="/etc/pip.conf"),),
        **AS_ROOT,
    )
    before, lines = _picture(layers), list[str]()
    ended = containers.run(wanted, on_output=lambda _, text: lines.append(text), timeout=30)
    assert (ended.code, lines) == (0, ["0"])
    upper = containers.upper(wanted.id)
    assert (upper / "word").read_text() == "changed\n"
    assert [(upper / name).stat().st_uid for name in ("word", "app/new/root", "app/mine")] == [
        0,
        0,
        1000,
    ]
    assert (upper / "usr/bin/true").is_char_device()  # the overlay's mark of a deleted file
    assert not (upper / "etc/pip.conf").exists()
    assert not (upper / "etc/hosts").exists()
    assert not (upper / "tmp").exists()
    assert _picture(layers) == before


def test_kernels_that_mount_layers_by_path_give_the_same_result(
    node: NodeConfig, containers: Containers, spec: Spec
) -> None:
    older = Containers(node, kernel=Kernel(layers_by_fd=False))
    for changes in ({}, AS_ROOT):
        wanted = spec("sh", "-c", "cat /word; echo x > /tmp/x && echo ok", **changes)
        assert older.run(wanted, on_output=lambda _, __: None, timeout=30).code == 0
        assert printed(older, wanted.id) == ["from the top layer", "ok"]
        assert not any(
            "/layers/" in str(mount.target)
            for mount in Kernel().mounts()
            if str(node.state) in str(mount.target)
        )
        older.remove(wanted.id)


def test_a_build_on_an_older_kernel_keeps_real_ids(
    node: NodeConfig, containers: Containers, spec: Spec
) -> None:
    older = Containers(node, kernel=Kernel(layers_by_fd=False))
    wanted = spec("sh", "-c", "echo x > /app/x", **AS_ROOT)
    older.run(wanted, on_output=lambda _, __: None, timeout=30)
    assert (older.upper(wanted.id) / "app/x").stat().st_uid == 0


@pytest.mark.parametrize("by_fd", [True, False])
def test_builds_and_apps_may_use_any_id_up_to_65535(
    by_fd: bool, node: NodeConfig, containers: Containers, spec: Spec
) -> None:
    here = Containers(node, kernel=Kernel(layers_by_fd=by_fd))
    script = (
        "rm -r /usr/bin/true /app && mkdir /app && echo x > /app/x && chown 65535:65535 /app /app/x"
        " && chmod 600 /app/x && cat /app/x"
    )
    built = spec("sh", "-c", script, **AS_ROOT)
    assert (
        here.run(built, on_output=lambda _, __: None, timeout=30).code,
        printed(here, built.id),
    ) == (0, ["x"])
    upper = here.upper(built.id)
    assert [_owner(upper / name) for name in ("app", "app/x", "usr/bin/true")] == [65535, 65535, 0]

    ran = spec(
        "sh", "-c", "cat /app/x && rm /app/x", uid=65535, gid=65535, layers=(upper, *built.layers)
    )
    assert (
        here.run(ran, on_output=lambda _, __: None, timeout=30).code,
        printed(here, ran.id),
    ) == (0, ["x"])
    written = node.instances / ran.id / "scratch/upper"
    assert [_owner(written / name) - ran.first_id for name in ("app", "app/x")] == [65535, 0]


def test_pruning_does_not_follow_a_link_out_of_its_layer(
    containers: Containers, spec: Spec, place: Path
) -> None:
    (place / "outside").mkdir()
    (place / "outside" / "hosts").touch()
    containers.run(spec("true", id="linker", **AS_ROOT), on_output=lambda _, __: None, timeout=30)
    upper = containers.upper("linker")
    for leftover in sorted((upper / "etc").glob("*")) if (upper / "etc").exists() else []:
        leftover.unlink()
    if (upper / "etc").exists():
        (upper / "etc").rmdir()
    (upper / "etc").symlink_to(place / "outside")
    containers.upper("linker")
    assert (place / "outside" / "hosts").exists()


def test_a_missing_layer_fails_with_its_name_and_leaves_nothing(
    containers: Containers, spec: Spec, place: Path
) -> None:
    wanted = spec("true", layers=(place / "nowhere",))
    with pytest.raises(LaunchFailed, match="nowhere does not exist"):
        containers.launch(wanted)
    assert containers.list() == []


def _has_printed(containers: Containers, id: str, count: int) -> bool:
    return len(printed(containers, id)) == count


def _owner(path: Path) -> int:
    found = path.lstat()
    assert found.st_uid == found.st_gid
    return found.st_uid


def _picture(layers: tuple[Path, ...]) -> list[tuple[str, int, int, int, float]]:
    files = [path for layer in layers for path in sorted(layer.rglob("*"))]
    return [
        (str(path), (state := path.lstat()).st_mode, state.st_uid, state.st_size, state.st_mtime)
        for path in files
    ]
