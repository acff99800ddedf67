"""Tests of verification: damage is reported and, if a blob is intact, repaired.

Layers of other tools are accepted in every packing.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.errors import ImageDamaged
from runtime.images.digest import Digest
from runtime.images.layers.compression import Compression
from runtime.images.layers.layer import unpack_tar
from runtime.images.manifest import LAYER_GZIP, ImageConfig, Layer
from runtime.images.verify import remove_replaced, repair, verify
from runtime.trees.folder import Folder
from runtime.trees.plain import Unreadable
from tests.runtime.images.conftest import Yard


def unpack_to(tar: bytes, target: Path) -> None:
    with Folder.at(target) as folder:
        unpack_tar(io.BytesIO(tar), folder)


def tarball(*entries: tuple[str, bytes, str, str], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar of entries, each given as (name, type, link target, content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, kind, target, content in entries:
            header = tarfile.TarInfo(name)
            header.type, header.linkname, header.size = kind, target, len(content)
            header.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
            tar.addfile(header, io.BytesIO(content.encode()))
    return buffer.getvalue()


def put(yard: Yard, tar: bytes, pack: Callable[[bytes], bytes] = lambda plain: plain) -> Layer:
    """Store the blob of a foreign layer, as an import does."""
    packed = pack(tar)
    digest = Digest.of(packed)
    yard.store.blob(digest).write_bytes(packed)
    return Layer(digest=digest, diff_id=Digest.of(tar), size=len(packed))


def test_an_intact_store_verifies_and_each_kind_of_damage_is_described(yard: Yard) -> None:
    layer = yard.layer("1")
    image = yard.image(layer, yard.layer("2"), name="shop:v1")
    assert verify(yard.config, yard.store) == []
    tree = yard.store.unpacked(layer)
    (tree / "app" / "text").write_text("0")
    with yard.store.blob(layer.digest).open("r+b") as blob:
        blob.write(b"xx")
    (other,) = [candidate for candidate in yard.store.layers_of(image) if candidate != layer]
    yard.store.blob(other.digest).unlink()
    said = [damage.describe() for damage in verify(yard.config, yard.store)]
    assert len(said) == 3
    assert f"The blob {yard.store.blob(layer.digest)} is damaged" in said[0]
    assert said[1] == f"The image {image} (shop:v1) lacks the blob {other.digest}."
    assert f"The unpacked layer {tree} is damaged" in said[2]


@pytest.mark.parametrize("harm", ["content", "mode", "missing", "more", "all"])
def test_a_damaged_unpacked_layer_is_rebuilt_from_its_blob(yard: Yard, harm: str) -> None:
    layer = yard.layer("as it was")
    text = yard.store.unpacked(layer) / "app" / "text"
    match harm:
        case "content":
            text.write_text("as it is")
        case "mode":
            text.chmod(0o777)
        case "missing":
            text.unlink()
        case "more":
            (text.parent / "more").touch()
        case _:
            (text.parent / "more").mkdir()
            text.unlink()
            text.symlink_to("/etc/passwd")
    (damage,) = verify(yard.config, yard.store)
    assert damage.layer == layer.diff_id
    reader = os.open(text.parent, os.O_RDONLY)  # as a running container that uses the layer
    assert "unpacked again" in repair(yard.config, yard.store, damage)
    assert verify(yard.config, yard.store) == []
    assert text.read_text() == "as it was"
    replaced = list(yard.config.layers.glob("*.replaced-*"))
    assert len(replaced) == 1
    assert remove_replaced(yard.config, {layer.diff_id.hex: time.time() - 60}) == []
    os.close(reader)
    assert len(remove_replaced(yard.config, {layer.diff_id.hex: time.time() + 60})) == 1
    assert not replaced[0].exists()


def test_a_layer_with_a_damaged_blob_cannot_be_repaired(yard: Yard) -> None:
    layer = yard.layer("1")
    (yard.store.unpacked(layer) / "app" / "text").write_text("0")
    yard.store.blob(layer.digest).write_bytes(b"not a layer")
    damage = verify(yard.config, yard.store)[-1]
    with pytest.raises(ImageDamaged):
        repair(yard.config, yard.store, damage)
    assert not any((yard.config.layers / "ingest").iterdir())


@pytest.mark.parametrize(
    "pack",
    [
        lambda tar: tar,
        gzip.compress,
        zstandard.compress,
        lambda tar: gzip.compress(tar[:512]) + gzip.compress(tar[512:]),
    ],
)
def test_plain_gzip_and_zstd_layers_are_accepted(
    yard: Yard, pack: Callable[[bytes], bytes]
) -> None:
    layer = put(
        yard,
        tarball(
            ("./", tarfile.DIRTYPE, "", ""),
            ("./app", tarfile.DIRTYPE, "", ""),
            ("./app/text", tarfile.REGTYPE, "", "hello"),
        ),
        pack,
    )
    assert (yard.store.unpacked(layer) / "app" / "text").read_text() == "hello"
    assert yard.store.layer(layer.diff_id) is not None
    assert verify(yard.config, yard.store) == []


def test_gzip_is_sent_on_request_and_is_deterministic(yard: Yard, tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text").write_text("hello")
        os.utime(tmp_path / name / "text", (1, 1))
        made.append(yard.store.add_layer(tmp_path / name, compression=Compression.GZIP))
    assert made[0] == made[1]
    assert gzip.decompress(yard.store.blob(made[0].digest).read_bytes())
    image = yard.store.write_image(made[:1], ImageConfig())
    document = json.loads(yard.store.blob(image).read_bytes())
    assert document["layers"][0]["mediaType"] == LAYER_GZIP
    assert yard.store.layer(made[0].diff_id) == made[0]
    yard.store.tag("x", image)
    subprocess.run(
        ["skopeo", "copy", "-q", f"oci:{yard.config.images}:x", f"dir:{tmp_path / 'copy'}"],
        check=True,
        capture_output=True,
    )


def test_a_layer_with_a_wrong_digest_is_refused(yard: Yard) -> None:
    true = put(yard, tarball(("a", tarfile.REGTYPE, "", "1")), gzip.compress)
    lie = Layer(digest=true.digest, diff_id=Digest.of(b"other"), size=true.size)
    with pytest.raises(ImageDamaged, match="instead of"):
        yard.store.unpacked(lie)
    assert not (yard.config.layers / lie.diff_id.hex).exists()
    assert not any((yard.config.layers / "ingest").iterdir())


@pytest.mark.parametrize(
    "entries",
    [
        [("out", tarfile.SYMTYPE, "{outside}", ""), ("out/planted", tarfile.REGTYPE, "", "x")],
        [("out", tarfile.SYMTYPE, "..", ""), ("out/out/planted", tarfile.REGTYPE, "", "x")],
        [("../planted", tarfile.REGTYPE, "", "x")],
        [("a/../../planted", tarfile.REGTYPE, "", "x")],
        [("out", tarfile.SYMTYPE, "{outside}", ""), ("copy", tarfile.LNKTYPE, "out/secret", "")],
        [("copy", tarfile.LNKTYPE, "../outside/secret", "")],
        [("out", tarfile.SYMTYPE, "{outside}", ""), ("out/.wh.secret", tarfile.REGTYPE, "", "")],
        [("out", tarfile.SYMTYPE, "{outside}", ""), ("out/.wh..wh..opq", tarfile.REGTYPE, "", "")],
        [("a/.wh..", tarfile.REGTYPE, "", "")],
        [(".wh.", tarfile.REGTYPE, "", "")],
    ],
)
def test_a_layer_that_leaves_its_folder_is_refused(
    tmp_path: Path, entries: list[tuple[str, bytes, str, str]]
) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    for folder in (outside, target):
        folder.mkdir()
    (outside / "secret").write_text("secret")
    tar = tarball(
        *(
            (name, kind, link.format(outside=outside), content)
            for name, kind, link, content in entries
        )
    )
    with pytest.raises(ImageDamaged):
        unpack_to(tar, target)
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").stat().st_nlink == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "target"]


def test_a_repeated_entry_replaces_the_first_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("untouched")
    target = tmp_path / "target"
    target.mkdir()
    tar = tarball(
        ("/abs", tarfile.REGTYPE, "", "absolute"),
        ("a", tarfile.SYMTYPE, "../outside", ""),
        ("a", tarfile.REGTYPE, "", "second"),
        ("folder", tarfile.DIRTYPE, "", ""),
        ("folder/x", tarfile.REGTYPE, "", "x"),
        ("folder", tarfile.REGTYPE, "", "now a file"),
        ("link", tarfile.SYMTYPE, str(tmp_path), ""),
        ("link", tarfile.DIRTYPE, "", ""),
        (".wh..wh.plnk", tarfile.DIRTYPE, "", ""),
    )
    unpack_to(tar, target)
    assert (tmp_path / "outside").read_text() == "untouched"
    assert {path.name: path.read_text() for path in target.iterdir() if path.is_file()} == {
        "abs": "absolute",
        "a": "second",
        "folder": "now a file",
    }
    assert (target / "link").is_dir()
    assert not (target / "link").is_symlink()


def test_sparse_files_and_capabilities_are_kept(yard: Yard, tmp_path: Path) -> None:
    tree = tmp_path / "holes"
    tree.mkdir()
    with (tree / "sparse").open("wb") as file:
        file.seek(64 << 20)
        file.write(b"end")
    (tree / "ping").write_text("#!")
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(tree / "ping", "security.capability", capability)
    layer = yard.store.add_layer(tree)
    subprocess.run(["rm", "-rf", yard.store.unpacked(layer)], check=True)
    back = yard.store.unpacked(layer)
    assert (back / "sparse").stat().st_size == (64 << 20) + 3
    assert (back / "sparse").stat().st_blocks * 512 < 1 << 20
    assert os.getxattr(back / "ping", "security.capability") == capability
    assert verify(yard.config, yard.store) == []


names = st.sampled_from(
    [
        "a",
        "b",
        "a/b",
        "a/b/c",
        "b/a",
        "./",
        "../x",
        "/a",
        ".wh.a",
        "a/.wh.b",
        "a/.wh..wh..opq",
        "a/../b",
        ".wh..",
        "",
    ]
)
kinds = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
)
targets = st.sampled_from(["a", "..", "../..", "../../outside", "/", "a/b", "b", ""])


@given(st.lists(st.tuples(names, kinds, targets, st.sampled_from(["", "x"])), max_size=8))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_tarball_writes_outside_its_folder(
    tmp_path: Path, entries: list[tuple[str, bytes, str, str]]
) -> None:
    place = tmp_path / os.urandom(8).hex()
    target = place / "inner" / "target"
    target.mkdir(parents=True)
    (place / "outside").write_text("untouched")
    try:
        unpack_to(tarball(*entries), target)
    except (ImageDamaged, Unreadable, OSError):
        pass  # a refusal is correct, too
    assert sorted(path.name for path in place.iterdir()) == ["inner", "outside"]
    assert [path.name for path in (place / "inner").iterdir()] == ["target"]
    assert (place / "outside").read_text() == "untouched"
    assert (place / "outside").stat().st_nlink == 1


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([("h", tarfile.LNKTYPE, "absent", "")], "'h' is a hard link to 'absent'"),
        (
            [("d", tarfile.DIRTYPE, "", ""), ("h", tarfile.LNKTYPE, "d", "")],
            "'h' is a hard link to 'd'",
        ),
        ([("l", tarfile.SYMTYPE, "", "")], "entry 'l' cannot be unpacked"),
        ([("v", b"V", "", "")], "'v' has an unknown type"),
    ],
)
def test_an_entry_that_cannot_be_created_is_named(
    entries: list[tuple[str, bytes, str, str]], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ImageDamaged, match=sentence):
        unpack_to(tarball(*entries), tmp_path)


@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]
)
def test_a_layer_with_a_header_of_800_mib_is_refused_with_little_memory(
    yard: Yard, kind: bytes
) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 800 << 20
    packer = zstandard.ZstdCompressor().compressobj()
    hashed, pieces = hashlib.sha256(), []
    for piece in (header.tobuf(tarfile.GNU_FORMAT), *[bytes(16 << 20)] * 50):
        hashed.update(piece)
        pieces.append(packer.compress(piece))
    blob = b"".join(pieces) + packer.flush()
    yard.store.blob(Digest.of(blob)).write_bytes(blob)
    layer = Layer(
        digest=Digest.of(blob), diff_id=Digest(f"sha256:{hashed.hexdigest()}"), size=len(blob)
    )
    tracemalloc.start()
    try:
        with pytest.raises(ImageDamaged, match="extended header of more than 1 MiB"):
            yard.store.unpacked(layer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


def test_times_before_1970_are_kept_exactly(yard: Yard, tmp_path: Path) -> None:
    tree = tmp_path / "old"
    tree.mkdir()
    (tree / "file").write_text("x")
    os.utime(tree / "file", ns=(0, -1_500_000_001))
    layer = yard.store.add_layer(tree)
    subprocess.run(["rm", "-rf", yard.store.unpacked(layer)], check=True)
    assert (yard.store.unpacked(layer) / "file").stat().st_mtime_ns == -1_500_000_001


@pytest.mark.parametrize(
    "kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.REGTYPE, tarfile.FIFOTYPE]
)
def test_a_layer_whose_top_folder_is_another_kind_of_entry_is_damaged(
    kind: bytes, tmp_path: Path
) -> None:
    with pytest.raises(ImageDamaged, match="top folder"):
        unpack_to(tarball(("", kind, "", "")), tmp_path)
