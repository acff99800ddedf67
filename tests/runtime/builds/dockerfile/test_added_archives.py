"""Tests of ADD with a local tar: the detection of archives, the places of their entries, and errors
that name the Dockerfile's line.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from runtime.builds.dockerfile.copying import Copying
from runtime.builds.dockerfile.room import Room
from runtime.builds.dockerfile.syntax import Instruction
from runtime.builds.dockerfile.tree import Tree
from runtime.builds.dockerfile.unpacking import is_archive, unpack_into
from runtime.errors import BadSource, BuildFailed
from runtime.trees.folder import Folder

ADD = Instruction(
    name="ADD",
    flags=(),
    args=("a.tar", "/"),
    exec_form=False,
    heredocs=(),
    text="ADD a.tar /",
    line=2,
)


def tar(*entries: tuple[str, bytes, str], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar of entries, each given as (name, type, link target or content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as written:
        for name, kind, value in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mtime, info.mode = kind, 1_700_000_000.25, 0o640
            content = value.encode() if kind == tarfile.REGTYPE else b""
            info.size = len(content)
            info.linkname = value if kind != tarfile.REGTYPE else ""
            written.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def looks_like_one(place: Path, name: str) -> bool:
    with Folder.at(place) as folder:
        return is_archive(Tree(root=folder), name)


@pytest.fixture
def add(tmp_path: Path) -> Callable[[bytes], Path]:
    def add(archive: bytes) -> Path:
        (tmp_path / "a.tar").write_bytes(archive)
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        with Folder.at(tmp_path) as source, Folder.at(root) as target:
            unpack_into(
                Tree(root=source),
                "a.tar",
                Copying(
                    root=Tree(root=target),
                    owner=None,
                    chmod=None,
                    of=ADD,
                    room=Room(of=ADD, most=1 << 20, files=9),
                ),
                "/",
            )
        return root

    return add


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress]
)
def test_every_compression_that_docker_accepts_is_unpacked(
    pack: Callable[[bytes], bytes], add: Callable[[bytes], Path], tmp_path: Path
) -> None:
    root = add(
        pack(
            tar(
                ("d", tarfile.DIRTYPE, ""),
                ("d/f", tarfile.REGTYPE, "content"),
                ("d/h", tarfile.LNKTYPE, "d/f"),
            )
        )
    )
    assert looks_like_one(tmp_path, "a.tar")
    assert (root / "d/f").read_text() == "content"
    assert (root / "d/h").samefile(root / "d/f")
    status = (root / "d/f").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o640, 1_700_000_000_250_000_000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text" * 500,
        bytes(2048),
        b"\x1f\x8bnot really",
        gzip.compress(b"text" * 500),
        b"BZh9",
        lzma.compress(b""),
    ],
)
def test_a_file_that_is_not_a_tar_is_copied(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(data)
    assert not looks_like_one(tmp_path, "a")
    assert not looks_like_one(tmp_path, "")


def test_an_entry_for_the_destination_itself_changes_nothing(
    add: Callable[[bytes], Path], tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir(mode=0o751)
    root = add(
        tar(("", tarfile.REGTYPE, ""), ("./", tarfile.DIRTYPE, ""), ("f", tarfile.REGTYPE, "x"))
    )
    assert [path.name for path in root.iterdir()] == ["f"]
    assert stat.S_IMODE(root.stat().st_mode) == 0o751


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([("null", tarfile.CHRTYPE, "")], "'null' of the archive is a character device"),
        ([("sda", tarfile.BLKTYPE, "")], "'sda' of the archive is a block device"),
        ([("volume", b"V", "")], "'volume' of the archive is a special file"),
        ([("h", tarfile.LNKTYPE, "absent")], "'h' of the archive is a hard link to 'absent'"),
        (
            [("d", tarfile.DIRTYPE, ""), ("h", tarfile.LNKTYPE, "d")],
            "'h' of the archive is a hard link to 'd'",
        ),
        ([("l", tarfile.SYMTYPE, "")], "'l' of the archive cannot be unpacked"),
        ([("../x", tarfile.REGTYPE, "")], "'../x', which leads outside the archive"),
        (
            [("d", tarfile.DIRTYPE, ""), ("d", tarfile.REGTYPE, "")],
            "'d' of the archive would replace a folder",
        ),
        ([("n" * 300, tarfile.REGTYPE, "")], "part of more than 255 bytes"),
    ],
)
def test_an_entry_that_cannot_be_created_is_an_error_of_the_dockerfile(
    entries: list[tuple[str, bytes, str]], sentence: str, add: Callable
) -> None:
    with pytest.raises(BadSource, match=r"Dockerfile, line 2") as caught:
        add(tar(*entries))
    assert sentence in caught.value.what


def test_a_truncated_archive_is_an_error_of_the_dockerfile(add: Callable[[bytes], Path]) -> None:
    with pytest.raises(BadSource, match=r"a\.tar is damaged: at the entry 'f'"):
        add(tar(("f", tarfile.REGTYPE, "x" * 2000))[:2000])
    with pytest.raises(BadSource, match=r"a\.tar is damaged"):
        add(gzip.compress(tar(("f", tarfile.REGTYPE, os.urandom(5000).hex())))[:-4000])


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_of_800_mib_is_refused_with_little_memory(
    kind: bytes, add: Callable[[bytes], Path], tmp_path: Path
) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = kind, 800 << 20
    packer = zstandard.ZstdCompressor().compressobj()
    packed = (
        packer.compress(header.tobuf(tarfile.GNU_FORMAT))
        + b"".join(packer.compress(bytes(16 << 20)) for _ in range(50))
        + packer.flush()
    )
    tracemalloc.start()
    try:
        with pytest.raises(BadSource, match="extended header of more than 1 MiB"):
            add(packed)
        assert looks_like_one(tmp_path, "a.tar")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


def test_an_archive_stops_at_the_step_s_limit_before_it_is_written(
    add: Callable[[bytes], Path], tmp_path: Path
) -> None:
    half = "x" * (600 << 10)
    two = tar(("one", tarfile.REGTYPE, half), ("two", tarfile.REGTYPE, half))
    sentence = "line 2: ADD writes 1.2 MiB or more, and a step may write at most 1 MiB"
    with pytest.raises(BuildFailed, match=sentence):
        add(two)
    assert not (tmp_path / "root" / "two").exists()
    with pytest.raises(BuildFailed, match="line 2: ADD writes more than 9 files"):
        add(tar(*((str(number), tarfile.SYMTYPE, "x") for number in range(10))))
    assert not (tmp_path / "root" / "9").is_symlink()
