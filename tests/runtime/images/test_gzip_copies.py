"""Tests of copies with gzip layers: made once, always the same, and removed with their image."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import time

from runtime.images.digest import Digest
from runtime.images.exchange.gzip_copies import POINTER, GzipCopies
from runtime.images.exchange.published import Published
from runtime.images.manifest import LAYER_GZIP, MANIFEST
from tests.runtime.images.conftest import Yard

TEAM = 1


def test_a_copy_has_the_same_content_and_shares_its_layers(yard: Yard) -> None:
    layers = [yard.layer(text) for text in ("base", "code", "other code")]
    images = [yard.image(layers[0], layers[1]), yard.image(layers[0], layers[2])]
    Published(yard.config, yard.store).set(7, images)
    copies = GzipCopies(yard.config, yard.store)
    folders = [yard.config.served / "7" / image.hex for image in images]
    for image in images:
        assert copies.make(7, image, team=TEAM)
    documents = []
    for folder, image in zip(folders, images, strict=True):
        pointer = folder / POINTER
        data = (folder / pointer.readlink()).read_bytes()
        assert Digest.of(data).hex == str(pointer.readlink())
        documents.append(json.loads(data))
        assert documents[-1]["mediaType"] == MANIFEST
        assert documents[-1]["config"]["digest"] == yard.store.manifest(image).config.digest
    for document, folder, pair in zip(documents, folders, (layers[:2], layers[::2]), strict=True):
        for described, layer in zip(document["layers"], pair, strict=True):
            assert described["mediaType"] == LAYER_GZIP
            blob = (folder / Digest(described["digest"]).hex).read_bytes()
            assert (len(blob), Digest.of(blob)) == (described["size"], described["digest"])
            tar = hashlib.sha256(gzip.decompress(blob)).hexdigest()
            assert tar == layer.diff_id.hex
    base = [folder / Digest(documents[0]["layers"][0]["digest"]).hex for folder in folders]
    assert base[0].samefile(base[1])


def test_a_copy_is_made_once_and_again_with_the_same_digest(yard: Yard) -> None:
    image = yard.image(yard.layer("code"))
    published, copies = Published(yard.config, yard.store), GzipCopies(yard.config, yard.store)
    folder = yard.config.served / "7" / image.hex
    published.set(7, [image])
    assert copies.make(7, image, team=TEAM)
    first = (folder / POINTER).readlink()
    moment = (folder / POINTER).lstat().st_mtime_ns
    assert copies.make(7, image, team=TEAM)
    assert (folder / POINTER).lstat().st_mtime_ns == moment
    shutil.rmtree(folder)
    shutil.rmtree(yard.config.registry / "gzip")
    published.set(7, [image])
    assert copies.make(7, image, team=TEAM)
    assert (folder / POINTER).readlink() == first


def test_copies_are_removed_with_their_image(yard: Yard) -> None:
    image = yard.image(yard.layer("code"))
    published, copies = Published(yard.config, yard.store), GzipCopies(yard.config, yard.store)
    assert not copies.make(7, image, team=TEAM), "it is not published"
    published.set(7, [image])
    copies.make(7, image, team=TEAM)
    later = time.time() + 7200
    assert copies.remove_unused(later) == 0
    published.set(7, [])
    assert copies.remove_unused(time.time()) == 0, "a copy that is being made is kept"
    assert copies.remove_unused(later) == 1
    assert not list((yard.config.registry / "gzip").iterdir())
