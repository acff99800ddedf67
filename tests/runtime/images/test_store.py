"""Tests of the image store with the real file system, and with skopeo as an independent reader."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.errors import ImageDamaged
from runtime.images.digest import Digest
from runtime.images.manifest import ImageConfig
from runtime.images.store import Store

MOMENT = 1_700_000_000_123_456_789


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    return NodeConfig(name="tstore", state=tmp_path / "state", run=tmp_path / "run")


def a_tree(at: Path) -> Path:
    """Create a tree with everything that a layer can contain."""
    (at / "app" / "empty").mkdir(parents=True)
    (at / "app" / "main.py").write_bytes(b"print('hello')\n" * 10)
    (at / "app" / "main.py").chmod(0o750)
    os.chown(at / "app" / "main.py", 1000, 1000)
    (at / "app" / "link").symlink_to("main.py")
    os.link(at / "app" / "main.py", at / "app" / "same.py")
    (at / "app" / ("long" * 60)).write_text("a name longer than ustar takes")
    (at / "app" / "größe-ß").write_text("not ASCII")
    os.mkfifo(at / "app" / "pipe")
    os.mknod(at / "app" / "deleted", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    os.setxattr(at / "app" / "main.py", "user.note", b"\x00\xffbytes")
    os.setxattr(at / "app" / "empty", "user.overlay.opaque", b"y")
    os.setxattr(at / "app", "trusted.overlay.impure", b"y")
    for path in [*at.rglob("*"), at]:
        os.utime(path, ns=(MOMENT, MOMENT), follow_symlinks=False)
    return at


def facts(tree: Path) -> dict[str, object]:
    """Map each name to the properties that must survive a round trip."""
    found: dict[str, object] = {}
    for path in sorted(tree.rglob("*")):
        status = path.lstat()
        attributes = {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)
        }
        device = status.st_rdev if stat.S_ISCHR(status.st_mode) else None
        content = (
            path.read_bytes()
            if stat.S_ISREG(status.st_mode)
            else str(path.readlink())
            if path.is_symlink()
            else None
        )
        whiteout = stat.S_ISCHR(status.st_mode)
        known = (
            None if whiteout else (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns)
        )
        found[str(path.relative_to(tree))] = (
            known,
            device,
            content,
            attributes,
            stat.S_ISREG(status.st_mode) and status.st_nlink,
        )
    return found


def test_a_layer_is_unchanged_after_packing_and_unpacking(
    config: NodeConfig, tmp_path: Path
) -> None:
    store = Store(config)
    layer = store.add_layer(a_tree(tmp_path / "tree"))
    before = facts(store.unpacked(layer))
    assert before["app/empty"][3] == {"user.overlay.opaque": b"y"}  # type: ignore[index]
    assert before["app"][3] == {}  # type: ignore[index]
    subprocess.run(["rm", "-rf", store.unpacked(layer)], check=True)
    assert facts(store.unpacked(layer)) == before


def test_equal_trees_have_equal_digests_and_are_stored_once(
    config: NodeConfig, tmp_path: Path
) -> None:
    store = Store(config)
    first, second = (
        store.add_layer(a_tree(tmp_path / "a")),
        store.add_layer(a_tree(tmp_path / "b"), move=True),
    )
    assert first == second
    assert store.layer(first.diff_id) == first
    assert not (tmp_path / "b").exists()
    assert store.write_image([first], ImageConfig()) == store.write_image([second], ImageConfig())


def test_skopeo_accepts_the_layout(config: NodeConfig, tmp_path: Path) -> None:
    store = Store(config)
    layer = store.add_layer(a_tree(tmp_path / "tree"))
    image = ImageConfig(
        environment={"PORT": "1"},
        working_directory="/app",
        command=("python3", "main.py"),
        labels={"app": "hello"},
    )
    digest = store.write_image([layer], image, {"made": "here"})
    store.tag("hello:build-1", digest)
    said = subprocess.run(
        ["skopeo", "inspect", f"oci:{config.images}:hello:build-1"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert digest in said
    assert layer.digest in said
    subprocess.run(
        ["skopeo", "copy", "-q", f"oci:{config.images}:hello:build-1", f"dir:{tmp_path / 'copy'}"],
        check=True,
        capture_output=True,
    )
    back = store.image(digest)
    assert back.config == image
    assert back.layers == (config.layers / layer.diff_id.hex,)
    assert back.size == layer.size


def test_names_can_be_moved_and_removed_and_images_stay_listed(
    config: NodeConfig, tmp_path: Path
) -> None:
    store = Store(config)
    layer = store.add_layer(a_tree(tmp_path / "tree"))
    old, new = (
        store.write_image([layer], ImageConfig()),
        store.write_image([layer], ImageConfig(user="0:0")),
    )
    store.tag("app:live", old)
    store.tag("app:live", new)
    assert store.find("app:live") == new
    assert old in (config.images / "index.json").read_text()
    store.untag("app:live")
    store.untag("app:live")
    assert store.find("app:live") is None
    assert new in (config.images / "index.json").read_text()
    with pytest.raises(ValueError, match="not a valid image name"):
        store.tag("../x", new)


def test_verify_names_a_flipped_byte_and_no_damaged_layer_is_unpacked(
    config: NodeConfig, tmp_path: Path
) -> None:
    store = Store(config)
    layer = store.add_layer(a_tree(tmp_path / "tree"))
    digest = store.write_image([layer], ImageConfig())
    assert store.verify() == []
    blob = store.blob(layer.digest)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    (damage,) = store.verify()
    assert layer.digest.hex in damage
    subprocess.run(["rm", "-rf", store.unpacked(layer)], check=True)
    with pytest.raises(ImageDamaged):
        store.image(digest)
    with pytest.raises(ImageDamaged, match="not in the image store"):
        store.image(Digest.of(b"never written"))


def test_a_kill_while_adding_a_layer_leaves_a_usable_store(
    config: NodeConfig, tmp_path: Path
) -> None:
    tree = tmp_path / "big"
    tree.mkdir()
    for number in range(30):
        (tree / f"{number}").write_bytes(os.urandom(4 << 20))
    program = f"""
from pathlib import Path
from runtime.config import NodeConfig
from runtime.images.store import Store
Store(NodeConfig(name="tstore", state=Path({str(config.state)!r}))).add_layer(Path({str(tree)!r}))
"""
    for delay in (0.02, 0.1, 0.3):
        child = subprocess.Popen([sys.executable, "-c", program])
        ingest = config.layers / "ingest"
        while not (ingest.is_dir() and any(ingest.iterdir())):
            time.sleep(0.005)
        time.sleep(delay)
        busy = Store(config).sweep()
        assert busy == [] or child.poll() is not None
        child.send_signal(signal.SIGKILL)
        child.wait()
        store = Store(config)
        assert store.verify() == []
        store.sweep()
        assert not any((config.layers / "ingest").iterdir())
        assert not any((config.images / "ingest").iterdir())
    small = tmp_path / "small"
    small.mkdir()
    assert store.image(store.write_image([store.add_layer(small)], ImageConfig())).layers


def test_no_user_of_the_host_can_reach_the_content_of_a_layer(
    config: NodeConfig, tmp_path: Path
) -> None:
    store = Store(config)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "become-root").write_text("#!/bin/sh\nid\n")
    (tree / "become-root").chmod(0o4755)
    unpacked = store.unpacked(store.add_layer(tree))
    assert stat.S_IMODE((unpacked / "become-root").stat().st_mode) == 0o4755
    for path in (tmp_path, config.state):
        path.chmod(0o755)
    tried = subprocess.run(
        ["setpriv", "--reuid", "65534", "--clear-groups", "cat", unpacked / "become-root"],
        capture_output=True,
        check=False,
    )
    assert tried.returncode != 0
