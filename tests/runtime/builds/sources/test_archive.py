"""Tests of the unpacking of untrusted sources: each hostile archive is refused with a clear
message, and nothing is written outside the folder.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.builds.source import archive as archives
from runtime.errors import BadArchive
from runtime.trees.folder import Folder

FILES = {
    "app/main.py": b"print()",
    "app/static/a.css": b"body{}",
    "app/Procfile": b"web: python main.py",
}


def tar_bytes(
    *members: tuple[str, bytes] | tarfile.TarInfo, form: int = tarfile.PAX_FORMAT
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def zip_bytes(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members:
            packed.writestr(name, data)
    return buffer.getvalue()


def special(name: str, kind: bytes, linkname: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, linkname, mode
    return info


def zip_special(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, mode << 16
    return info


def names_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def unpacked(place: Path, filename: str) -> archives.Unpacked:
    """Unpack place/archive into place/tree and return the result."""
    (place / "tree").mkdir()
    with (place / "archive").open("rb") as file, Folder.at(place / "tree") as tree:
        return archives.unpack(file, filename, tree)


def refusal(data: bytes, filename: str, tmp_path: Path) -> str:
    """Return the message for a bad archive. Check that nothing was written outside the target."""
    work = Path(tempfile.mkdtemp(dir=tmp_path))
    (work / "archive").write_bytes(data)
    with pytest.raises(BadArchive) as caught:
        unpacked(work, filename)
    assert caught.value.hint
    assert {path.name for path in work.iterdir()} <= {"archive", "tree"}
    return caught.value.what


TAR = tar_bytes(*FILES.items())
ZIP = zip_bytes(*FILES.items())


@pytest.mark.parametrize(
    ("filename", "data", "kind"),
    [
        ("a.tar", TAR, "tar"),
        ("a.tar.gz", gzip.compress(TAR), "tar.gz"),
        ("a.tgz", gzip.compress(TAR), "tar.gz"),
        ("a.tar.zst", zstandard.compress(TAR), "tar.zst"),
        ("a.TAR.XZ", lzma.compress(TAR), "tar.xz"),
        ("a.tar.gz", gzip.compress(TAR[:2000]) + gzip.compress(TAR[2000:]), "tar.gz"),
        ("a.tar.xz", lzma.compress(TAR[:2000]) + lzma.compress(TAR[2000:]), "tar.xz"),
        ("a.zip", ZIP, "zip"),
        ("source", gzip.compress(TAR), "tar.gz"),
        ("old.tar", tar_bytes(*FILES.items(), form=tarfile.GNU_FORMAT), "tar"),
    ],
)
def test_every_kind_is_unpacked_and_a_single_top_folder_is_removed(
    filename: str, data: bytes, kind: str, tmp_path: Path
) -> None:
    (tmp_path / "archive").write_bytes(data)
    done = unpacked(tmp_path, filename)
    assert names_below(tmp_path / "tree") == {"main.py", "static/a.css", "Procfile"}
    assert (done.kind, done.files, done.size, done.unwrapped) == (
        kind,
        3,
        sum(map(len, FILES.values())),
        "app",
    )


def test_several_top_entries_stay_and_junk_is_removed(tmp_path: Path) -> None:
    members = [
        ("a/x", b"1"),
        ("b/y", b"2"),
        ("__MACOSX/._x", b""),
        (".DS_Store", b""),
        ("a/._x", b""),
        (".git/config", b""),
        ("./c", b"3"),
    ]
    (tmp_path / "archive").write_bytes(tar_bytes(*members))
    assert unpacked(tmp_path, "a.tar").unwrapped == ""
    assert names_below(tmp_path / "tree") == {"a/x", "b/y", "c"}


def test_inner_links_are_kept_and_special_mode_bits_are_removed(tmp_path: Path) -> None:
    script = special("bin/run", tarfile.REGTYPE, mode=0o700)
    members = [
        script,
        ("bin/data", b"x"),
        special("run", tarfile.SYMTYPE, "bin/run"),
        special("hard", tarfile.LNKTYPE, "bin/data"),
    ]
    (tmp_path / "archive").write_bytes(
        tar_bytes(*members, special("shared/", tarfile.DIRTYPE, mode=0o2775))
    )
    unpacked(tmp_path, "a.tar")
    tree = tmp_path / "tree"
    assert (tree / "run").readlink() == Path("bin/run")
    assert (tree / "hard").stat().st_ino == (tree / "bin/data").stat().st_ino
    assert [
        (tree / name).stat().st_mode & 0o7777 for name in ("bin/run", "bin/data", "shared")
    ] == [0o700, 0o644, 0o775]


BAD_TARS: list[tuple[str, list[tuple[str, bytes] | tarfile.TarInfo], str]] = [
    ("a dot-dot name", [("../evil", b"x")], "leads out"),
    ("a dot-dot in the middle", [("a/../../evil", b"x")], "leads out"),
    ("an absolute name", [("/etc/evil", b"x")], "absolute"),
    ("a link to an absolute path", [special("l", tarfile.SYMTYPE, "/etc/passwd")], "outside"),
    ("a link that climbs out", [special("a/l", tarfile.SYMTYPE, "../../x")], "outside"),
    (
        "a link out of the one top folder",
        [("a/x", b""), special("a/l", tarfile.SYMTYPE, "..")],
        "outside",
    ),
    (
        "two links that lead out together",
        [
            ("a/b/x", b""),
            ("y", b""),
            special("a/b/up", tarfile.SYMTYPE, "../.."),
            special("m", tarfile.SYMTYPE, "a/b/up/.."),
        ],
        "outside",
    ),
    ("a file written through a link", [special("d", tarfile.SYMTYPE, "e"), ("d/x", b"x")], "twice"),
    ("a hard link to nothing", [special("h", tarfile.LNKTYPE, "/etc/passwd")], "absolute"),
    (
        "a hard link to a link",
        [special("s", tarfile.SYMTYPE, "x"), special("h", tarfile.LNKTYPE, "s")],
        "not an earlier file",
    ),
    ("a device", [special("null", tarfile.CHRTYPE)], "device"),
    ("a block device", [special("sda", tarfile.BLKTYPE)], "device"),
    ("a pipe", [special("pipe", tarfile.FIFOTYPE)], "device"),
    ("a setuid bit", [special("su", tarfile.REGTYPE, mode=0o4755)], "setuid"),
    ("a setgid bit", [special("su", tarfile.REGTYPE, mode=0o2755)], "setuid"),
    ("a name twice", [("a", b"1"), ("./a", b"2")], "twice"),
    ("a file that is also a folder", [("a", b"1"), ("a/b", b"2")], "twice"),
    ("a folder that is also a file", [("a/b", b"2"), ("a", b"1")], "twice"),
    ("no files", [special("empty/", tarfile.DIRTYPE)], "no files"),
    ("only junk", [(".DS_Store", b"x")], "no files"),
    ("an endless name", [("x" * 300, b"")], "not a valid file name"),
    ("a deep name", [("d/" * 200 + "x", b"")], "not a valid file name"),
]


@pytest.mark.parametrize(
    ("members", "sentence"), [case[1:] for case in BAD_TARS], ids=[case[0] for case in BAD_TARS]
)
def test_a_hostile_tar_is_refused_with_a_clear_message(
    members: list[tuple[str, bytes] | tarfile.TarInfo], sentence: str, tmp_path: Path
) -> None:
    assert sentence in refusal(tar_bytes(*members), "a.tar", tmp_path)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (zip_bytes(("../evil", b"x")), "leads out"),
        (zip_bytes(("/evil", b"x")), "absolute"),
        (zip_bytes((zip_special("l", 0o120777), b"/etc/passwd")), "outside"),
        (zip_bytes((zip_special("d", 0o020666), b"")), "device"),
        (zip_bytes((zip_special("s", 0o104755), b"")), "setuid"),
        (zip_bytes(), "no files"),
        (ZIP[:-30], "too early"),
        (ZIP[:43] + b"\xff\xff\xff" + ZIP[46:], "damaged"),
        (
            zip_bytes(("zeros", bytes(1 << 20))).replace(
                (1 << 20).to_bytes(4, "little"), (10 << 28).to_bytes(4, "little")
            ),
            "more than 1024 MiB",
        ),
    ],
)
def test_a_hostile_zip_is_refused_with_a_clear_message(
    data: bytes, sentence: str, tmp_path: Path
) -> None:
    assert sentence in refusal(data, "a.zip", tmp_path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_a_duplicate_name_is_refused(tmp_path: Path) -> None:
    assert "twice" in refusal(zip_bytes(("a", b"1"), ("a", b"2")), "a.zip", tmp_path)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(zip_bytes(("a", b"1")))
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + offset] |= 1
    assert "encrypted" in refusal(bytes(data), "a.zip", tmp_path)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, lzma.compress, bytes])
@pytest.mark.parametrize("left", [0.3, 0.6, 0.9])
def test_a_truncated_archive_is_reported_as_truncated(
    pack: Callable[[bytes], bytes], left: float, tmp_path: Path
) -> None:
    data = pack(tar_bytes(("noise", os.urandom(200_000)), ("more", os.urandom(20_000))))
    ending = {
        gzip.compress: ".tar.gz",
        zstandard.compress: ".tar.zst",
        lzma.compress: ".tar.xz",
        bytes: ".tar",
    }[pack]
    assert "too early" in refusal(data[: int(len(data) * left)], f"a{ending}", tmp_path)


def test_a_tar_that_is_cut_between_two_entries_is_detected(tmp_path: Path) -> None:
    assert "too early" in refusal(
        tar_bytes(("a", b"x" * 512), ("b", b"y" * 512))[:2048], "a.tar", tmp_path
    )


@pytest.mark.parametrize(
    ("filename", "data", "sentence"),
    [
        ("a.zip", gzip.compress(TAR), "is named .zip, but its content is a .tar.gz"),
        ("a.tar.gz", ZIP, "is named .tar.gz, but its content is a .zip"),
        ("a.tar", zstandard.compress(TAR), "content is a .tar.zst"),
        ("a.tar.gz", b"", "is empty"),
        ("a.tar.gz", gzip.compress(b"just text" * 100, mtime=0), "does not contain a tar archive"),
        ("a.tar.bz2", bz2.compress(TAR), "bzip2"),
        ("a.pdf", b"%PDF-1.7", "PDF"),
        ("a.zip", b"nothing of the kind" * 100, "not a supported archive"),
    ],
)
def test_a_wrong_ending_or_kind_is_named(
    filename: str, data: bytes, sentence: str, tmp_path: Path
) -> None:
    assert sentence in refusal(data, filename, tmp_path)


class Zeros(io.RawIOBase):
    def read(self, size: int = -1, /) -> bytes:
        return bytes(size)


@pytest.mark.parametrize("lie", [False, True])
def test_ten_gigabytes_from_a_small_file_are_refused_at_once(lie: bool, tmp_path: Path) -> None:
    info = tarfile.TarInfo("zeros")
    info.size = 10 << 30
    head = info.tobuf(tarfile.GNU_FORMAT)
    packer = zstandard.ZstdCompressor().compressobj()
    sizes = (
        [head]
        if not lie
        else [tarfile.TarInfo("a").tobuf() for _ in range(0)]
        + [special_with_size(f"{n}", 8 << 20) for n in range(100)]
    )
    data = (
        b"".join(packer.compress(piece) + packer.compress(bytes(8 << 20)) for piece in sizes)
        + packer.flush()
    )
    assert "more than" in refusal(data, "a.tar.zst", tmp_path)
    written = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert written < 100 << 20


def special_with_size(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf()


@pytest.mark.slow
def test_a_hundred_thousand_entries_are_refused(tmp_path: Path) -> None:
    entries = [special(f"f{number}", tarfile.REGTYPE).tobuf() for number in range(100_000)]
    assert "more than 50,000 entries" in refusal(
        gzip.compress(b"".join(entries) + bytes(1024), 1), "a.tar.gz", tmp_path
    )
    many = zip_bytes(*((f"f{number}", b"") for number in range(60_000)))
    assert "more than 50,000 entries" in refusal(many, "a.zip", tmp_path)


def test_a_huge_extended_header_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = special("x", tarfile.XHDTYPE)
    header.size = 900 << 20
    assert "extended header" in refusal(header.tobuf() + bytes(1 << 20), "a.tar", tmp_path)


names = st.text(st.sampled_from("ab./\\ \0é~-\n"), min_size=1, max_size=12)
kinds = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(members=st.lists(st.tuples(names, kinds, names), min_size=1, max_size=6))
def test_no_archive_writes_or_links_outside(
    members: list[tuple[str, bytes, str]], tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as name:
        work = Path(name)
        (work / "archive").write_bytes(
            tar_bytes(*(special(name, kind, link) for name, kind, link in members))
        )
        (work / "witness").mkdir()
        try:
            unpacked(work, "a.tar")
        except BadArchive:
            pass
        else:
            for path in (work / "tree").rglob("*"):
                assert os.path.realpath(path).startswith(
                    os.path.realpath(work / "tree")
                )  # Path.resolve raises on a loop
        assert {path.name for path in work.iterdir()} <= {"archive", "witness", "tree"}
        assert list((work / "witness").iterdir()) == []


def test_a_name_that_is_not_utf_8_is_refused_with_valid_text(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(
        tar_bytes(special("a/\udcff", tarfile.REGTYPE, mode=0o4755), form=tarfile.GNU_FORMAT)
    )
    with pytest.raises(BadArchive) as caught:
        unpacked(tmp_path, "a.tar")
    assert caught.value.hint == r"chmod ug-s \udcff"
    caught.value.explain().encode()


def test_a_zip_with_an_offset_before_its_start_is_damaged(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as written:
        written.writestr("index.html", "x")
    data = bytearray(packed.getvalue())
    at = data.rindex(b"PK\5\6") + 16  # offset of the central directory (APPNOTE.TXT, 4.3.16)
    data[at : at + 4] = (int.from_bytes(data[at : at + 4], "little") + 50).to_bytes(4, "little")
    (tmp_path / "archive").write_bytes(data)
    with pytest.raises(BadArchive, match="outside the file"):
        unpacked(tmp_path, "a.zip")
