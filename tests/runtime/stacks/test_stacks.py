"""Tests of stacks that are built on this machine, and of the difference that becomes a runtime's
layer.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.errors import BadSource, BadStack
from runtime.images.store import Store
from runtime.stacks.available import offer
from runtime.stacks.builder import ensure_runtime, ensure_stack, rebuild
from runtime.stacks.definition import DEBIAN_13, NODE_DEFAULT, PYTHON, node
from runtime.stacks.difference import subtract
from runtime.stacks.flatten import flatten, inside
from runtime.stacks.packages.debian_mirror import find_mirror
from runtime.stacks.stack import DebianRuntime, key
from runtime.stacks.static import STATIC
from runtime.stacks.versions import identity_of, versions
from tests.runtime.images.faulty_registry import Server, server
from tests.warm import seed

__all__ = ["server"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[NodeConfig, Store]:
    folder = tmp_path_factory.mktemp("stacks")
    config = NodeConfig(name="tstack", state=folder / "state", run=folder / "run")
    return config, seed(config)


@pytest.mark.parametrize(
    ("setting", "of_apt", "expected"),
    [
        ("", ("", ""), ()),  # not Debian: mmdebstrap's default
        (
            "",
            ("mirror:/d", "mirror:/s"),
            (
                "mirror:/d trixie main",
                "mirror:/d trixie-updates main",
                "mirror:/s trixie-security main",
            ),
        ),
        (
            "mirror:/set",
            ("mirror:/d", "mirror:/s"),
            ("mirror:/set trixie main", "mirror:/set trixie-updates main"),
        ),
    ],
)
def test_the_setting_overrides_apt_and_apt_overrides_the_default(
    setting: str, of_apt: tuple[str, str], expected: tuple[str, ...]
) -> None:
    found = find_mirror(NodeConfig(debian_mirror=setting), "trixie", of_apt=lambda: of_apt)
    assert tuple(line.partition("] ")[2] for line in found.sources) == expected


def test_a_stack_holds_no_trace_of_the_host(store: tuple[NodeConfig, Store]) -> None:
    lines: list[str] = []
    image = ensure_stack(*store, progress=lines.append)
    (root,) = image.layers
    assert lines == []  # it existed already
    for path in ("etc/hostname", "etc/resolv.conf", "etc/apt/sources.list"):
        assert not (root / path).exists()
    assert (root / "etc/ssl/certs/ca-certificates.crt").stat().st_size > 100_000
    assert "trixie" in (root / "etc/os-release").read_text()
    assert "\napp:x:1000:1000:" in (root / "etc/passwd").read_text()
    assert ensure_stack(*store, progress=lines.append) == image
    skopeo = subprocess.run(
        ["skopeo", "inspect", f"oci:{store[0].images}:stack/debian-13"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert image.digest in skopeo.stdout


def test_an_unknown_stack_is_refused_with_the_list_of_stacks(
    store: tuple[NodeConfig, Store],
) -> None:
    with pytest.raises(BadSource) as caught:
        ensure_stack(*store, name="beos-5")
    assert "debian-13" in caught.value.hint


def test_runtimes_are_layers_with_only_their_own_files(store: tuple[NodeConfig, Store]) -> None:
    images = store[1]
    python, static, nodejs = (
        images.unpacked(ensure_runtime(*store, runtime, DEBIAN_13, lambda line: None)[-1])
        for runtime in (PYTHON["3.13"], STATIC, node(NODE_DEFAULT))
    )
    assert (python / "usr/bin/python3").readlink() == Path("python3.13")
    assert (python / "usr/local/bin/python").readlink() == Path("/usr/bin/python3")
    assert not (python / "usr/bin/bash").exists()
    # Unchecked: Python does not hash sources at start.
    assert {path.read_bytes()[4] for path in (python / "usr/lib").rglob("*.pyc")} == {1}
    assert os.access(static / "opt/static/serve", os.X_OK)
    assert (nodejs / "usr/local/bin/npm").readlink() == Path("/opt/node/bin/npm")
    assert {path.lstat().st_uid for path in nodejs.rglob("*")} == {0}


def test_the_identity_of_a_definition_depends_on_its_content() -> None:
    more = DebianRuntime(
        name="python-3.13", stack=DEBIAN_13, packages=("python3", "python3-venv", "sqlite3")
    )
    assert key(more, "x86_64") != key(PYTHON["3.13"], "x86_64")
    assert key(DEBIAN_13, "x86_64") != key(DEBIAN_13, "aarch64")
    assert (
        len(
            {
                key(definition, "x86_64")
                for definition in (DEBIAN_13, STATIC, node("22.1.0"), node("22.2.0"))
            }
        )
        == 4
    )


def test_base_and_difference_together_give_the_complete_tree(tmp_path: Path) -> None:
    base, full, union = (tmp_path / name for name in ("base", "full", "union"))
    for root in (base, full):
        (root / "same").mkdir(parents=True)
        (root / "same/file").write_text("same")
        (root / "etc").mkdir()
        (root / "etc/changed").write_text(root.name)
        (root / "link").symlink_to("same")
    (base / "gone").write_text("x")
    (base / "file-then-folder").write_text("x")
    (full / "file-then-folder").mkdir()
    (full / "file-then-folder/inner").write_text("new")
    (full / "mode").write_text("m")
    (base / "mode").write_text("m")
    (full / "mode").chmod(0o600)
    subprocess.run(["cp", "-a", full, tmp_path / "wanted"], check=True)
    subtract(base, full)
    assert {path.name for path in full.iterdir()} == {"etc", "gone", "file-then-folder", "mode"}
    assert stat.S_ISCHR((full / "gone").lstat().st_mode)
    union.mkdir()
    script = 'mount -t overlay o -o "lowerdir=$1:$2" "$3" && diff -r --no-dereference "$3" "$4"'
    subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", full, base, union, tmp_path / "wanted"],
        check=True,
    )


OWN = """
name = "own-1"
suite = "trixie"
apt = ['Acquire::Retries "4";']
files = { "etc/motd" = "Welcome", "opt/start" = "#!/bin/sh" }
"""


@pytest.mark.timeout(600)  # a complete bootstrap, on a machine that may run other work
def test_a_stack_of_the_operator_is_built_from_its_file(tmp_path: Path) -> None:
    config = NodeConfig(name="town", state=tmp_path / "state", run=tmp_path / "run")
    config.stacks.mkdir(parents=True)
    (config.stacks / "own-1.toml").write_text(OWN)
    images, said = Store(config), []
    version, fresh = rebuild(config, images, "own-1", said.append)
    assert fresh
    assert said[0] == "Building own-1: once, for all apps of this machine"
    image = ensure_stack(config, images, "own-1", said.append)
    (root,) = image.layers
    assert (root / "etc/motd").read_text() == "Welcome"
    assert os.access(root / "opt/start", os.X_OK)
    assert not (root / "etc/mime.types").exists(), "it needs only the essential packages"
    assert [version_record.diff_id for version_record in versions(config)] == [version.diff_id]
    (config.stacks / "own-1.toml").write_text(OWN.replace("Welcome", "Hello"))
    assert versions(config)[0].identity != identity_of(offer(config).stack("own-1")), (
        "another definition needs another build"
    )


def test_an_image_of_a_registry_becomes_a_stack_of_one_layer(
    tmp_path: Path, server: Server
) -> None:
    config = NodeConfig(
        name="tfrom",
        state=tmp_path / "state",
        run=tmp_path / "run",
        plain_registries=(server.address,),
    )
    config.stacks.mkdir(parents=True)
    program = '[languages.python]\nversion = "3.12"\nprogram = "/usr/local/bin/python3"\n'
    text = (
        f'name = "theirs"\nfrom = "{server.address}/team/app:1"\nfiles = {{ "app/more" = "ours"'
        f" }}\n{program}"
    )
    (config.stacks / "theirs.toml").write_text(text)
    images, said = Store(config), []
    image = ensure_stack(config, images, "theirs", said.append)
    (root,) = image.layers
    assert ((root / "app/text").read_text(), (root / "app/more").read_text()) == ("hello", "ours")
    assert "app:x:1000" in (root / "etc/passwd").read_text()
    assert f"    pulling {server.address}/team/app:1" in said
    python = offer(config).pythons["3.12"]
    assert [
        layer.diff_id for layer in ensure_runtime(config, images, python, python.stack, said.append)
    ] == [layer.diff_id for layer in images.layers_of(image.digest)]
    _, fresh = rebuild(config, images, "theirs", said.append)
    assert not fresh
    assert len(versions(config)) == 1, "the same content is the same version"
    server.fill("world")
    version, fresh = rebuild(config, images, "theirs", said.append)
    assert fresh
    assert [version_record.diff_id == version.diff_id for version_record in versions(config)] == [
        True,
        False,
    ], "the old one is kept"


def test_flattening_keeps_files_hidden_and_follows_no_link_of_a_layer(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    layers = []
    for number in range(3):
        layer = tmp_path / "layers" / str(number)
        (layer / "etc").mkdir(parents=True)
        layers.insert(0, layer)
    lowest, middle, top = reversed(layers)
    (lowest / "etc" / "gone").write_text("x")
    (lowest / "way").symlink_to(outside)
    os.mknod(middle / "etc" / "gone", stat.S_IFCHR, os.makedev(0, 0))
    (top / "way").mkdir()  # at the path of the link that an earlier layer planted
    (top / "way" / "planted").write_text("x")
    (top / "usr").symlink_to(outside)
    tree = tmp_path / "tree"
    flatten(tuple(layers), tmp_path, tree)
    assert sorted(path.name for path in tree.iterdir()) == ["etc", "usr", "way"]
    assert list((tree / "etc").iterdir()) == []
    assert (tree / "way" / "planted").exists()
    assert [path.name for path in outside.iterdir()] == ["kept"]
    for name in ("usr/kept", "usr/fresh", "etc"):
        with pytest.raises(BadStack, match="into the stack"):
            inside(tree, name)
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    with pytest.raises(BadStack, match="51 layers"):
        flatten((top,) * 51, tmp_path, tmp_path / "never")


_BOOTSTRAP = """
import sys
from pathlib import Path
from runtime.config import NodeConfig
from runtime.images.store import Store
from runtime.stacks.builder import ensure_stack
config = NodeConfig(name="tkill", state=Path(sys.argv[1]), run=Path(sys.argv[1]) / "run")
ensure_stack(config, Store(config), progress=lambda line: print(line, flush=True))
"""


def test_a_killed_bootstrap_leaves_no_mount_and_no_process(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _BOOTSTRAP, str(tmp_path)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert _until(lambda: _at_work_in(tmp_path)), "mmdebstrap never began"
    finally:
        child.kill()
        child.communicate()
    assert _until(lambda: not _at_work_in(tmp_path))
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


def _at_work_in(folder: Path) -> list[str]:
    """Return the command lines of other processes that work on a tree below `folder`."""
    lines = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        if f"{folder}/builds" in line:
            lines.append(line)
    return lines


def _until(condition: Callable[[], object], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
