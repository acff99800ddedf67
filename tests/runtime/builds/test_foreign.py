"""Tests of images that were built elsewhere and are imported into our store, without a
container.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.builds.import_image import PORT_LABEL, ImportedImage, PushedImage, import_image
from runtime.config import NodeConfig
from runtime.contract.quantities import Bytes
from runtime.errors import BadSource, ImageDamaged
from runtime.images import manifest
from runtime.images.digest import Digest
from runtime.images.store import Store

PASSWD = "root:x:0:0::/:/bin/sh\nweb:x:1234:1235::/:/bin/sh\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dock:
    """A store, and the blobs that a portal received for it."""

    config: NodeConfig
    store: Store

    def receive(self, data: bytes) -> dict[str, object]:
        digest = Digest.of(data)
        (self.config.received / f"7-{digest.hex}").write_bytes(data)
        return {
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "digest": digest,
            "size": len(data),
        }

    def take(
        self,
        *,
        served: tuple[Path, ...] = (),
        most: int = 1 << 20,
        diff_id: str = "",
        os_name: str = "linux",
        **config: object,
    ) -> ImportedImage:
        """Push an image of one layer with an /etc/passwd, and import it."""
        tar = a_tar("etc/passwd", PASSWD)
        layer = self.receive(gzip.compress(tar, mtime=0))
        document = {
            "architecture": manifest.architecture(os.uname().machine),
            "os": os_name,
            "config": {"Cmd": ["/run", "a b"], **config},
            "rootfs": {
                "type": "layers",
                "diff_ids": [diff_id or f"sha256:{hashlib.sha256(tar).hexdigest()}"],
            },
        }
        pointer = self.receive(json.dumps(document).encode())
        pushed = json.dumps({"schemaVersion": 2, "config": pointer, "layers": [layer]}).encode()
        self.receive(pushed)
        return self.pushed(Digest.of(pushed), served=served, most=most)

    def pushed(
        self, digest: Digest, *, served: tuple[Path, ...] = (), most: int = 1 << 20
    ) -> ImportedImage:
        image = PushedImage(
            build_id=1,
            app="shop",
            name="team/shop:1",
            manifest=digest,
            received=self.config.received,
            team=7,
            served=served,
            most=Bytes(most),
        )
        with self.store.lease():
            return import_image(self.config, self.store, image, lambda _: None)


def a_tar(name: str, text: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


@pytest.fixture
def dock(tmp_path: Path) -> Dock:
    config = NodeConfig(name="tforeign", state=tmp_path / "state", user="nobody")
    config.received.mkdir(parents=True)
    return Dock(config=config, store=Store(config))


def test_command_user_and_port_come_from_the_image(dock: Dock) -> None:
    taken = dock.take(
        User="web",
        ExposedPorts={"3000/tcp": {}, "3000/udp": {}},
        Labels={"a": "b", "slipway.user": "0:0"},
    )
    assert taken.processes == {"web": "/run 'a b'"}
    assert taken.config.labels["slipway.user"] == "1234:1235"
    assert taken.config.labels["slipway.web"] == "/run 'a b'"
    assert taken.config.labels[PORT_LABEL] == "3000"
    assert taken.config.labels["a"] == "b"
    assert [layer.media_type for layer in taken.layers] == [manifest.LAYER_GZIP], (
        "the media type of our own manifests"
    )
    (path,) = dock.store.image(dock.store.write_image(taken.layers, taken.config)).layers
    assert (path / "etc/passwd").read_text() == PASSWD
    blob = dock.store.blob(taken.layers[0].digest)
    assert (
        blob.stat().st_ino
        == (dock.config.received / f"7-{taken.layers[0].digest.hex}").stat().st_ino
    ), "no second copy"
    assert not any((dock.config.images / "ingest").iterdir())


def test_an_image_from_elsewhere_has_no_labels_of_the_platform(dock: Dock) -> None:
    written = {
        "slipway.foundation": '{"stack":"debian-13","runtimes":[],"layers":1}',
        "slipway.language": "Python",
        "slipway.any": "text",
        "slipway.shell-less": "text",
        "own": "kept",
    }
    labels = dock.take(Labels=written).config.labels
    assert labels == {
        "own": "kept",
        "slipway.processes": '{"web": "/run \'a b\'"}',
        "slipway.shell-less": "true",
        "slipway.user": "0:0",
        "slipway.web": "/run 'a b'",
    }


def test_a_deeply_nested_label_is_refused(dock: Dock) -> None:
    with pytest.raises(BadSource, match="not a valid list of processes"):
        dock.take(Labels={"slipway.processes": "[" * 100_000})


def test_without_exactly_one_port_the_platform_chooses(dock: Dock) -> None:
    assert (
        PORT_LABEL
        not in dock.take(
            ExposedPorts={"80/tcp": {}, "443/tcp": {}}, Labels={PORT_LABEL: "22"}
        ).config.labels
    )
    assert PORT_LABEL not in dock.take().config.labels


def test_an_image_that_slipway_built_keeps_its_processes(dock: Dock) -> None:
    processes = {"web": "gunicorn app", "worker": "celery", "release": "migrate"}
    assert dock.take(Labels={"slipway.processes": json.dumps(processes)}).processes == processes
    for label in ("[]", "{", '{"web": ""}', '{"../x": "y"}', "[[[]]]", "7"):
        with pytest.raises(BadSource):
            dock.take(Labels={"slipway.processes": label})


def test_an_image_that_cannot_run_or_is_damaged_is_refused(dock: Dock) -> None:
    with pytest.raises(BadSource, match="has no command to run"):
        dock.take(Cmd=[])
    with pytest.raises(BadSource, match="no user 'nobody-here'"):
        dock.take(User="nobody-here")
    with pytest.raises(ImageDamaged, match="instead of"):
        dock.take(diff_id="sha256:" + "0" * 64)
    with pytest.raises(ImageDamaged, match="unpacked layers are larger"):
        dock.take(most=100)
    with pytest.raises(ImageDamaged, match="runs Linux"):
        dock.take(os_name="windows")
    with pytest.raises(ImageDamaged, match="no longer exists"):
        dock.pushed(Digest.of(b"never"))
    with pytest.raises(BadSource, match="not a valid image manifest"):
        dock.receive(b"[]")
        dock.pushed(Digest.of(b"[]"))
    assert not any((dock.config.images / "ingest").iterdir())


def test_a_layer_of_another_image_of_the_team_need_not_be_pushed_again(
    dock: Dock, tmp_path: Path
) -> None:
    taken = dock.take()
    digest = taken.layers[0].digest
    (folder := tmp_path / "state" / "served").mkdir()
    os.link(dock.store.blob(digest), folder / digest.hex)
    (dock.config.received / f"7-{digest.hex}").unlink()
    assert dock.pushed(taken.original, served=(folder,)).layers == taken.layers
    with pytest.raises(ImageDamaged, match="no longer exists"):
        dock.pushed(taken.original)  # the store still has it, but no image of this team does
