"""Tests of a hostile volume: the attacks of `make attack`, and the helper that reads the volume."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from runtime.errors import BadArchive, VolumeFailed
from runtime.volumes.transfers import Transfers
from tests.runtime.volumes.conftest import VOLUME

PROGRAM = Path(__file__).parents[2] / "system/attacks/programs/volumes.py"


@pytest.fixture
def hostile(volumes, run_with):
    """Return the outcomes of a program that creates links, special files and odd names."""
    volumes.create(VOLUME)
    ended, lines = run_with("python3", "-c", PROGRAM.read_text(), "10", "plant")
    assert ended.code == 0, lines
    return json.loads(lines[-1])


@pytest.fixture
def transfers(volumes):
    return Transfers(volumes)


def archive_of(*members: tarfile.TarInfo) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return target.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    info.size = 1 if kind == tarfile.REGTYPE else 0
    return info


def test_nothing_of_it_works(hostile):
    assert len(hostile) == 8
    assert "worked" not in hostile.values(), hostile


def test_links_are_listed_and_not_followed(hostile, transfers):
    found = {each.name: each for each in transfers.listing(VOLUME, "").files}
    assert (found["etc"].kind, found["etc"].link) == ("link", "/etc")
    assert (found["pipe"].kind, found["socket"].kind) == ("other", "other")
    for place in ("etc", "root", "root/etc", "loop", "passwd", "missing", "pipe"):
        with pytest.raises(VolumeFailed, match="has no folder"):
            transfers.listing(VOLUME, place)


def test_an_archive_has_links_and_no_content_of_the_host(hostile, transfers, tmp_path):
    counted, size = transfers.pack(VOLUME, tmp_path / "archive.tar.gz")
    assert counted.left_out == 2
    assert size > 0
    with tarfile.open(tmp_path / "archive.tar.gz") as archive:
        members = {each.name: each for each in archive}
    assert {members[name].linkname for name in ("etc", "passwd")} == {"/etc", "/etc/passwd"}
    assert not [name for name in members if name.startswith(("etc/", "root/"))]
    assert not members["file"].mode & 0o7000
    assert "deep/" * 199 + "deep" in members


@pytest.mark.parametrize("where", ["etc", "root/tmp", "passwd", "loop", "file", "shadow"])
def test_an_upload_never_goes_through_a_link(hostile, transfers, tmp_path, where):
    archive = tmp_path / "a.tar"
    archive.write_bytes(archive_of(member("planted-by-tests")))
    with pytest.raises(VolumeFailed):
        transfers.unpack(VOLUME, archive, filename="a.tar", place=where)
    for path in ("/etc/planted-by-tests", "/tmp/planted-by-tests"):
        assert not os.path.lexists(path)


@pytest.mark.parametrize("name", ["../planted", "/planted", "a/../../planted", "x" * 300])
def test_an_upload_with_a_name_outside_is_refused(hostile, transfers, tmp_path, name):
    archive = tmp_path / "a.tar"
    archive.write_bytes(archive_of(member(name)))
    with pytest.raises(BadArchive):
        transfers.unpack(VOLUME, archive, filename="a.tar", place="")


def test_an_upload_has_no_devices_setuid_bits_or_links_to_the_host(
    volumes, hostile, transfers, tmp_path
):
    archive = tmp_path / "a.tar"
    archive.write_bytes(
        archive_of(
            member("disk", tarfile.BLKTYPE),
            member("fifo", tarfile.FIFOTYPE),
            member("tool", mode=0o6755),
            member("out", tarfile.SYMTYPE, "/etc"),
        )
    )
    counted = transfers.unpack(VOLUME, archive, filename="a.tar", place="new")
    assert (counted.files, counted.left_out) == (2, 2)
    data = volumes.mount(VOLUME) / "new"
    assert sorted(path.name for path in data.iterdir()) == ["out", "tool"]
    assert (data / "tool").stat().st_mode & 0o7777 == 0o755
    assert (data / "tool").stat().st_uid == 1_000_000 + 65_536 + 1000
    archive.write_bytes(archive_of(member("out/planted-by-tests")))
    with pytest.raises(VolumeFailed):
        transfers.unpack(VOLUME, archive, filename="a.tar", place="new")
    archive.write_bytes(archive_of(member("hard", tarfile.LNKTYPE, "out/passwd")))
    with pytest.raises(VolumeFailed):
        transfers.unpack(VOLUME, archive, filename="a.tar", place="new")
