"""Tests of two tasks: taking ownership of files that another user wrote, and publishing images as
hard links.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.errors import ImageDamaged
from runtime.images.digest import Digest
from runtime.images.exchange.ownership import take_over
from runtime.images.exchange.published import ORIGINAL, Published
from tests.runtime.images.conftest import Yard

USER = "nobody"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Create the folder in which `nobody` may write."""
    folder = tmp_path / "received"
    folder.mkdir()
    (tmp_path / "ours").mkdir()
    return folder


def receive(place: Path, data: bytes = b"layer") -> tuple[Digest, Path]:
    digest = Digest.of(data)
    path = place / f"7-{digest.hex}"
    path.write_bytes(data)
    path.chmod(0o660)
    os.chown(path, 65534, 65534)
    return digest, path


def test_a_received_file_is_given_to_root_without_a_copy(place: Path, tmp_path: Path) -> None:
    digest, path = receive(place)
    take_over(digest, tmp_path / "ours", [tmp_path / "nowhere", path], user=USER)
    ours = (tmp_path / "ours" / digest.hex).stat()
    assert ours.st_ino == path.stat().st_ino
    assert (ours.st_uid, ours.st_gid, ours.st_mode & 0o777) == (0, 0, 0o644)
    (tmp_path / "again").mkdir()
    # Repeat it, as after a worker that was killed in between.
    take_over(digest, tmp_path / "again", [path], user=USER)


def test_a_file_that_is_still_open_for_writing_is_refused(place: Path, tmp_path: Path) -> None:
    digest, path = receive(place)
    with path.open("r+b"), pytest.raises(ImageDamaged, match="still being written"):
        take_over(digest, tmp_path / "ours", [path], user=USER)


def test_links_devices_and_files_of_other_users_are_refused(place: Path, tmp_path: Path) -> None:
    digest = Digest.of(b"x")
    (secret := tmp_path / "secret").write_text("x")
    secret.chmod(0o600)
    link, pipe, foreign = place / "link", place / "pipe", place / "foreign"
    link.symlink_to(secret)
    os.mkfifo(pipe)
    foreign.write_text("x")
    os.chown(foreign, 12345, 12345)
    for path in (link, pipe, foreign):
        with pytest.raises(ImageDamaged, match="has the wrong owner or type"):
            take_over(digest, tmp_path / "ours", [path], user=USER)
        (tmp_path / "ours" / digest.hex).unlink()
    assert secret.stat().st_mode & 0o777 == 0o600
    assert foreign.stat().st_uid == 12345
    with pytest.raises(ImageDamaged, match="no longer exists"):
        take_over(digest, tmp_path / "ours", [place / "none"], user=USER)


def test_published_images_are_links_and_are_removed_when_unused(yard: Yard) -> None:
    published = Published(yard.config, yard.store)
    pushed = yard.image(yard.layer("base"), yard.layer("code"))
    layers = yard.store.layers_of(pushed)
    config, _ = yard.store.configuration(yard.store.manifest(pushed))
    ours = yard.store.write_image(layers, config, {ORIGINAL: pushed})
    published.set(3, [ours, "sha256:" + "0" * 64])
    (folder,) = published.folders(3)
    assert folder.name == Digest(ours).hex
    assert (folder / "manifest").readlink() == Path(Digest(pushed).hex)
    for layer in layers:
        assert (folder / layer.digest.hex).stat().st_ino == yard.store.blob(
            layer.digest
        ).stat().st_ino
    assert {(folder / Digest(image).hex).exists() for image in (ours, pushed)} == {True}
    published.set(3, [], keep=True)
    assert published.folders(3) == (folder,)
    published.set(3, [])
    assert published.folders(3) == ()
    published.set(3, [ours])
    published.withdraw_others([4])
    assert not (yard.config.served / "3").exists()
    assert yard.store.verify() == []
