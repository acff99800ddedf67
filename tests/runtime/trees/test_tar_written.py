"""Tests with archives that tarfile and GNU tar write, with their sparse files, and with damaged
copies.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.trees.plain import Unreadable
from runtime.trees.tar import TarReader
from runtime.trees.tar_entries import Kind, TarDamaged, TarLimits
from tests.runtime.trees.tars import (
    END,
    MIB,
    contents,
    header,
    long,
    members,
    only,
    padded,
    pax,
    signed,
    sparse_1_0,
)


def test_a_sparse_file_is_read_with_its_holes() -> None:
    data = (
        sparse_1_0([(1000, 3), (5000, 2), (9000, 0)], b"abcde", 9000)
        + header(b"next", size=1)
        + padded(b"n")
        + END
    )
    [(member, content), (following, after)] = contents(data)
    assert (member.name, member.size, member.sparse) == ("real", 9000, True)
    assert content == bytes(1000) + b"abc" + bytes(3997) + b"de" + bytes(3998)
    assert (following.name, after) == ("next", b"n")


def test_copying_distinguishes_holes_from_data() -> None:
    reader = TarReader(
        io.BytesIO(sparse_1_0([(1000, 3), (1 << 40, 2)], b"abcde", (1 << 40) + 2) + END),
        limits=TarLimits(content_bytes=1 << 41),
    )
    next(reader)
    seen: list[object] = []
    reader.copy_to(seen.append, hole=seen.append)
    assert seen == [1000, b"abc", (1 << 40) - 1003, b"de"]
    assert list(reader) == []


@pytest.mark.parametrize(
    ("spans", "data", "size"),
    [
        ([(0, 5)], b"abc", 5),  # more than there is
        ([(0, 2)], b"abc", 5),  # less than there is
        ([(3, 3)], b"abc", 5),  # past the end
        ([(2, 1), (0, 2)], b"abc", 5),  # out of order
        ([(0, 2), (1, 1)], b"abc", 5),  # overlapping
        ([(0, -1), (0, 4)], b"abc", 5),
        ([(-1, 3)], b"abc", 5),
        ([(0, 3)], b"abc", -5),
    ],
)
def test_a_sparse_map_that_contradicts_itself_is_refused(
    spans: list[tuple[int, int]], data: bytes, size: int
) -> None:
    with pytest.raises(TarDamaged, match="'real': its sparse map"):
        members(sparse_1_0(spans, data, size) + END)


def test_sparse_maps_have_a_limit() -> None:
    with pytest.raises(TarDamaged, match="map is too long"):
        members(sparse_1_0([(number, 0) for number in range(200_000)], b"", 1 << 30) + END)
    count = pax(
        (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"1")
    ) + header(size=512)
    with pytest.raises(TarDamaged, match="map is too long"):
        members(count + padded(b"9" * 18 + b"\n") + END)
    with pytest.raises(TarDamaged, match="not a number"):
        members(count + b"9" * 512 + END)
    extended = header(b"s", b"S", rest=b"\1" + bytes(29)) + (bytes(504) + b"\1" + bytes(7)) * 4000
    with pytest.raises(TarDamaged, match="map is too long"):
        members(extended)


def test_unknown_sparse_forms_are_refused_by_name() -> None:
    with pytest.raises(TarDamaged, match="'a': its sparse format"):
        only(pax((b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0")) + header())
    with pytest.raises(TarDamaged, match="'a': the sparse format of star"):
        only(pax((b"SCHILY.realsize", b"100")) + header())


def gnu_tar(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(
        ["tar", "-C", folder, "-cf", "-", *arguments, "."],
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--format=gnu"],
        ["--format=oldgnu"],
        *(["--format=pax", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0")),
    ],
)
def test_sparse_files_that_gnu_tar_writes(arguments: list[str], tmp_path: Path) -> None:
    for name, places in (
        ("few", [0, 1 << 20]),
        ("many", range(65_536, 40 << 17, 1 << 17)),
        ("hole", []),
    ):
        with (tmp_path / name).open("wb") as file:
            for place in places:
                file.seek(place)
                file.write(name.encode())
            file.truncate(5_300_000)
    archive = gnu_tar(tmp_path, "-S", *arguments)
    assert len(archive) < 4 * MIB
    found = {member.name: (member, content) for member, content in contents(archive)}
    for name in ("few", "many", "hole"):
        member, content = found[f"./{name}"]
        assert member.sparse
        assert content == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("form", ["gnu", "oldgnu", "pax", "ustar", "v7"])
def test_a_tree_that_gnu_tar_writes(form: str, tmp_path: Path) -> None:
    long_name = "n" * (200 if form in ("gnu", "oldgnu", "pax") else 60)
    (tmp_path / "d").mkdir(mode=0o750)
    (tmp_path / "d" / long_name).write_bytes(b"content")
    (tmp_path / "d" / long_name).chmod(0o6711)
    os.utime(tmp_path / "d" / long_name, ns=(0, 1_700_000_000_123_456_789))
    (tmp_path / "link").symlink_to("d/x")
    os.link(tmp_path / "d" / long_name, tmp_path / "other")
    if form == "pax":
        os.setxattr(tmp_path / "d" / long_name, "user.a", b"\0=\n")
    if form != "v7":
        os.mkfifo(tmp_path / "pipe")
    found = {
        member.name.rstrip("/"): (member, content)
        for member, content in contents(
            gnu_tar(tmp_path, f"--format={form}", "--xattrs", "--sort=name")
            if form == "pax"
            else gnu_tar(tmp_path, f"--format={form}", "--sort=name")
        )
    }
    file, content = found[f"./d/{long_name}"]
    assert (file.kind, file.mode, file.uid, content) == (Kind.FILE, 0o6711, os.getuid(), b"content")
    assert file.modified == (
        1_700_000_000_123_456_789 if form == "pax" else 1_700_000_000_000_000_000
    )
    assert (found["./d"][0].kind, found["./d"][0].mode) == (Kind.FOLDER, 0o750)
    assert (found["./link"][0].kind, found["./link"][0].link) == (Kind.LINK, "d/x")
    assert (found["./other"][0].kind, found["./other"][0].link) == (
        Kind.HARD_LINK,
        f"./d/{long_name}",
    )
    if form == "pax":
        assert file.attributes == {"user.a": b"\0=\n"}
    if form != "v7":
        assert found["./pipe"][0].kind is Kind.FIFO


parts = st.text(
    st.characters(min_codepoint=1, max_codepoint=0x2FFF, exclude_characters="/"),
    min_size=1,
    max_size=60,
)
raw_parts = st.binary(min_size=1, max_size=100).map(
    lambda data: os.fsdecode(data.replace(b"\0", b"0").replace(b"/", b"1"))
)
paths = (
    st.lists(parts | raw_parts, min_size=1, max_size=5)
    .map("/".join)
    .filter(lambda name: max(len(os.fsencode(part)) for part in name.split("/")) <= 255)
)
types = st.sampled_from(
    [
        tarfile.REGTYPE,
        tarfile.DIRTYPE,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CHRTYPE,
    ]
)


@st.composite
def written_entries(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(draw(paths))
    info.type = draw(types)
    info.mode, info.uid, info.gid = (
        draw(st.integers(0, 0o7777)),
        draw(st.integers(0, 2**31)),
        draw(st.integers(0, 2**31)),
    )
    info.mtime = draw(st.integers(-(2**33), 2**36))
    content = draw(st.binary(max_size=1500)) if info.type == tarfile.REGTYPE else b""
    info.size = len(content)
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = draw(paths)
    return info, content


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    entries=st.lists(written_entries(), max_size=5),
    form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_archives_of_tarfile_are_read_unchanged(
    entries: list[tuple[tarfile.TarInfo, bytes]], form: int
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=form, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    found = contents(buffer.getvalue())
    assert len(found) == len(entries)
    for (info, content), (member, read) in zip(entries, found, strict=True):
        assert member.name.rstrip("/") == info.name.rstrip("/")
        assert (member.mode, member.uid, member.gid) == (info.mode, info.uid, info.gid)
        assert member.modified == int(info.mtime) * 10**9
        assert read == content
        assert member.link == info.linkname


SEED = (
    pax((b"path", b"some/name"), (b"mtime", b"5.25"), (b"SCHILY.xattr.user.a", b"x"))
    + header(size=20)
    + padded(b"y" * 20)
    + long(b"L", b"n" * 120)
    + header(b"l", b"2", link=b"t")
    + sparse_1_0([(100, 3)], b"abc", 900)
    + pax((b"uid", b"5"), kind=b"g")
    + header(b"d/", b"5")
    + END
)


@settings(max_examples=400, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(SEED) - 1), st.binary(min_size=1, max_size=12)), max_size=6
    ),
    cut=st.integers(0, len(SEED)),
)
def test_damaged_bytes_raise_no_other_error(changes: list[tuple[int, bytes]], cut: int) -> None:
    data = bytearray(SEED)
    for place, new in changes:
        data[place : place + len(new)] = new
    for at in range(0, len(data) - 511, 512):  # correct the checksums at the places of headers
        if SEED[at + 257 : at + 262] == b"ustar":
            data[at : at + 512] = signed(data[at : at + 512])
    reader = TarReader(
        io.BytesIO(bytes(data[: cut or None])), limits=TarLimits(content_bytes=1 << 24)
    )
    try:
        for _ in reader:
            while reader.read(1 << 16):
                pass
    except Unreadable:
        pass  # any other exception fails the test
