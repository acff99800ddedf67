"""The tar reader: every form of header, what other programs write, and archives made to harm."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.trees.plain import Unreadable
from runtime.trees.tar import Kind, Member, TarDamaged, TarLimits, TarReader, TarTooLarge

END = bytes(1024)
MIB = 1 << 20


def header(
    name: bytes = b"a",
    kind: bytes = b"0",
    size: int | bytes = 0,
    *,
    link: bytes = b"",
    magic: bytes = b"ustar\x0000",
    mode: bytes = b"0000644\0",
    uid: bytes = b"0000001\0",
    mtime: bytes = b"00000000005\0",
    rest: bytes = b"",
) -> bytes:
    written = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(512)
    block[0:100] = name.ljust(100, b"\0")
    block[100:108], block[108:116], block[116:124], block[124:136], block[136:148] = mode, uid, b"0000002\0", written, mtime
    block[156:157], block[157:257], block[257:265] = kind, link.ljust(100, b"\0"), magic
    block[329:345] = b"0000000\0" * 2
    if rest:
        block[512 - len(rest) :] = rest
    return signed(block)


def signed(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while len(b"%d" % length) + len(key) + len(value) + 3 != length:
        length = len(b"%d" % length) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (length, key, value)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    data = b"".join(record(*one) for one in records)
    return header(b"pax", kind, len(data)) + padded(data)


def long(kind: bytes, value: bytes) -> bytes:
    return header(b"././@LongLink", kind, len(value) + 1, magic=b"ustar  \0") + padded(value + b"\0")


def members(data: bytes, limits: TarLimits | None = None) -> list[Member]:
    return list(TarReader(io.BytesIO(data), limits=limits))


def contents(data: bytes) -> list[tuple[Member, bytes]]:
    reader = TarReader(io.BytesIO(data))
    return [(member, b"".join(iter(lambda: reader.read(100), b""))) for member in reader]


def only(data: bytes) -> Member:
    [member] = members(data + END)
    return member


def test_a_plain_entry_has_all_its_fields() -> None:
    [(member, content)] = contents(header(b"a/b", size=3, mode=b"0104755\0") + padded(b"abc") + END)
    assert content == b"abc"
    assert member == Member(
        name="a/b",
        kind=Kind.FILE,
        mode=0o4755,
        uid=1,
        gid=2,
        size=3,
        modified=5_000_000_000,
        link="",
        device=(0, 0),
        attributes={},
        sparse=False,
    )


@pytest.mark.parametrize(
    ("typeflag", "kind"),
    [
        (b"\0", Kind.FILE),
        (b"0", Kind.FILE),
        (b"1", Kind.HARD_LINK),
        (b"2", Kind.LINK),
        (b"3", Kind.CHARACTER_DEVICE),
        (b"4", Kind.BLOCK_DEVICE),
        (b"5", Kind.FOLDER),
        (b"6", Kind.FIFO),
        (b"7", Kind.FILE),
        (b"V", Kind.OTHER),
        (b"\xff", Kind.OTHER),
    ],
)
def test_kinds(typeflag: bytes, kind: Kind) -> None:
    assert only(header(kind=typeflag, link=b"t")).kind is kind


def test_a_v7_name_that_ends_in_a_slash_is_a_folder_and_a_ustar_file_is_not() -> None:
    assert only(header(b"d/", b"\0", magic=bytes(8))).kind is Kind.FOLDER
    assert only(header(b"d/", b"0")).kind is Kind.FILE


@pytest.mark.parametrize("magic", [b"ustar\x0000", b"ustar  \0", bytes(8), b"ustar\0  "])
def test_every_magic_is_read(magic: bytes) -> None:
    assert only(header(b"name", magic=magic)).name == "name"


def test_the_prefix_counts_for_ustar_alone_and_is_shorter_for_star() -> None:
    prefix = b"some/folder".ljust(155, b"\0") + bytes(12)
    times = b"some/folder".ljust(131, b"\0") + b"00000000005\0" * 2 + bytes(8)
    assert only(header(b"n", rest=prefix)).name == "some/folder/n"
    assert only(header(b"n", rest=times + b"tar\0")).name == "some/folder/n"
    assert only(header(b"n", rest=prefix, magic=b"ustar  \0")).name == "n"
    assert only(header(b"n", rest=prefix, magic=bytes(8))).name == "n"


def test_an_empty_first_name_is_given_as_it_is() -> None:
    assert [member.name for member in members(header(b"") + header(b"f") + END)] == ["", "f"]


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (b"00000000003\0", 3),
        (b"          3 ", 3),
        (b"3\0garbage\0\0\0", 3),
        (b"\x80" + (3).to_bytes(11, "big"), 3),
        (bytes(12), 0),
        (b"            ", 0),
    ],
)
def test_numbers_are_read_in_every_form(written: bytes, size: int) -> None:
    assert contents(header(size=written) + padded(b"abc"[:size]) + END)[0][1] == b"abc"[:size]


@pytest.mark.parametrize(
    "written", [b"0000000000x\0", b"-1\0\0\0\0\0\0\0\0\0\0", b"1_0".ljust(12, b"\0"), b"0o7".ljust(12, b"\0"), b"9" * 12]
)
def test_a_size_that_is_no_octal_number_is_refused(written: bytes) -> None:
    with pytest.raises(TarDamaged, match="'a': its size is not a number"):
        only(header(size=written))


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(TarDamaged, match="'a': its size is negative"):
        only(header(size=b"\xff" * 12))
    with pytest.raises(TarDamaged, match="'a': its size is negative"):
        only(pax((b"size", b"-1")) + header())
    with pytest.raises(TarDamaged, match="negative size"):
        only(header(kind=b"x", size=b"\xff" * 12))


def test_a_huge_size_is_a_limit_not_an_allocation() -> None:
    with pytest.raises(TarTooLarge, match="'a'"):
        only(header(size=b"\x80" + b"\xff" * 11))
    with pytest.raises(TarTooLarge, match="'a'"):
        only(pax((b"size", b"9" * 20)) + header())


def test_owners_out_of_range_are_refused_unless_they_do_not_count() -> None:
    for damaged in (header(uid=b"\xff" * 8), header(uid=b"\x80\0\0\0\xff\xff\xff\xff"), pax((b"uid", b"4294967295")) + header()):
        with pytest.raises(TarDamaged, match="its owner is out of range"):
            only(damaged)
        assert members(damaged + END, TarLimits(check_owners=False))[0].name == "a"
    assert only(pax((b"uid", b"4294967294"), (b"gid", b"3000000000")) + header()).gid == 3_000_000_000


@pytest.mark.parametrize(
    ("value", "nanoseconds"),
    [
        (b"1.5", 1_500_000_000),
        (b"1700000000.123456789", 1_700_000_000_123_456_789),
        (b"-1.5", -1_500_000_000),
        (b"-0.000000001", -1),
        (b"7", 7_000_000_000),
        (b"7.", 7_000_000_000),
        (b"1.1234567899999", 1_123_456_789),
    ],
)
def test_pax_times_are_exact(value: bytes, nanoseconds: int) -> None:
    assert only(pax((b"mtime", value)) + header()).modified == nanoseconds


@pytest.mark.parametrize("value", [b"nan", b"inf", b"-inf", b"1e9", b"1.5.5", b"0x1", b" 1", b"9" * 20, b"9" * 5000, b"1_0", b"-"])
def test_times_that_are_no_times_are_refused(value: bytes) -> None:
    with pytest.raises(TarDamaged, match="'a': its time"):
        only(pax((b"mtime", value)) + header())


def test_a_header_time_may_be_before_1970_or_too_far_off() -> None:
    assert only(header(mtime=b"\xff" * 12)).modified == -1_000_000_000
    with pytest.raises(TarDamaged, match="time is out of range"):
        only(header(mtime=b"\x80" + b"\xff" * 11))


def test_pax_records_override_the_header_and_an_empty_one_does_not() -> None:
    member = only(pax((b"path", "é/\udcff".encode("utf-8", "surrogateescape")), (b"hdrcharset", b"BINARY")) + header())
    assert member.name == "é/\udcff"
    assert only(pax((b"path", b"")) + header()).name == "a"
    assert only(pax((b"path", b"first"), (b"path", b"second")) + header()).name == "second"
    assert only(pax((b"linkpath", b"x" * 300)) + header(kind=b"2", link=b"y")).link == "x" * 300
    assert only(pax((b"path", b"one")) + pax((b"uid", b"9")) + header()).name == "a"  # the later header replaces the earlier


def test_a_pax_size_decides_where_the_next_entry_starts() -> None:
    data = pax((b"size", b"600")) + header(size=0) + padded(b"z" * 600) + header(b"b") + END
    assert [(member.name, len(content)) for member, content in contents(data)] == [("a", 600), ("b", 0)]


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_links_folders_and_devices_have_no_content_whatever_their_size(kind: bytes) -> None:
    assert [member.name for member in members(header(b"l", kind, 5000, link=b"t") + header(b"next") + END)] == ["l", "next"]


def test_an_unknown_type_has_content_that_is_skipped() -> None:
    assert [member.name for member in members(header(b"v", b"V", 600) + bytes(1024) + header(b"next") + END)] == ["v", "next"]


def test_extended_attributes() -> None:
    member = only(
        pax((b"SCHILY.xattr.security.capability", b"\x01\0=\n"), (b"SCHILY.xattr.user.e", b""), (b"SCHILY.xattr.", b"")) + header()
    )
    assert dict(member.attributes) == {"security.capability": b"\x01\0=\n", "user.e": b""}


def test_a_global_header_holds_for_all_that_follow_and_a_local_one_wins() -> None:
    data = (
        pax((b"uid", b"77"), (b"SCHILY.xattr.user.a", b"x"), kind=b"g") + header(b"a") + pax((b"uid", b"5")) + header(b"b") + header(b"c")
    )
    found = members(data + END)
    assert [member.uid for member in found] == [77, 5, 77]
    assert not any(member.attributes for member in found)
    assert members(pax((b"comment", b"c" * 40), kind=b"g") + END) == []  # as an empty git archive has it


def test_solaris_headers_are_pax_headers() -> None:
    assert only(pax((b"path", b"solaris"), kind=b"X") + header()).name == "solaris"


def test_gnu_long_names_come_before_pax_paths() -> None:
    name, target = b"n" * 200 + b"/" + b"m" * 200, b"t" * 400
    member = only(long(b"K", target) + long(b"L", name) + pax((b"path", b"other")) + header(kind=b"2"))
    assert (member.name.encode(), member.link.encode()) == (name, target)


@pytest.mark.parametrize(
    "data",
    [
        b"5 a=b\n",
        b"99 path=x\n",
        b"0 a=\n",
        b"path=x\n",
        b"-9 path=x\n",
        b"9 path=x ",
        b"8 path x\n\n",
        b"6 =ab\n",
        b"10 pa\0h=xx\n",
        b"9" * 600,
        b"\xb2 a=b\n",
    ],
)
def test_malformed_pax_records_are_refused(data: bytes) -> None:
    with pytest.raises(TarDamaged, match="record of its extended header"):
        only(header(b"pax", b"x", len(data)) + padded(data) + header())


def test_a_nul_in_a_pax_name_is_refused() -> None:
    with pytest.raises(TarDamaged, match="NUL"):
        only(pax((b"path", b"a\0b")) + header())
    with pytest.raises(TarDamaged, match="NUL"):
        only(pax((b"linkpath", b"a\0b")) + header(kind=b"2"))


def test_names_have_limits() -> None:
    with pytest.raises(TarTooLarge, match="4095"):
        only(long(b"L", b"a/" * 3000) + header())
    with pytest.raises(TarTooLarge, match="255"):
        only(long(b"L", b"a/" + b"b" * 256) + header())
    with pytest.raises(TarTooLarge, match="4095"):
        only(long(b"K", b"a" * 5000) + header(kind=b"2"))
    assert only(long(b"K", b"a" * 4000) + header(kind=b"2")).link == "a" * 4000


def test_devices() -> None:
    block = bytearray(header(b"null", b"3"))
    block[329:345] = b"0000001\x000000003\0"
    assert only(signed(block)).device == (1, 3)
    block[329:337] = b"\x80\0\0\0\0\0\xff\xff"
    with pytest.raises(TarDamaged, match="'null': its device number"):
        only(signed(block))


def test_a_wrong_checksum_names_the_entry_before() -> None:
    with pytest.raises(TarDamaged, match="at the entry 'first': the header that follows has a wrong checksum"):
        members(header(b"first") + b"x" * 512)
    with pytest.raises(TarDamaged, match="at its start"):
        members(b"just text" * 200)


def test_an_old_signed_checksum_is_accepted() -> None:
    block = bytearray(header("é".encode()))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(byte - 256 if byte > 127 else byte for byte in block)
    assert only(bytes(block)).name == "é"


@pytest.mark.parametrize("cut", [1, 511, 513, 700, 1023, 1024 + 100, 1536 + 3])
def test_a_cut_off_archive_is_refused(cut: int) -> None:
    whole = header(b"a", size=600) + bytes(1024) + header(b"b", size=600) + bytes(1024)
    with pytest.raises(TarDamaged):
        members(whole[:cut])


def test_an_end_without_its_mark_is_an_end_and_what_follows_the_mark_is_not_read() -> None:
    assert len(members(header())) == 1
    assert members(b"") == []
    assert len(members(header() + bytes(512))) == 1
    assert len(members(header() + END + header(b"second archive") + b"garbage")) == 1
    with pytest.raises(TarDamaged, match="block of zeros"):
        members(header() + bytes(512) + header(b"b") + END)


def test_an_extended_header_without_an_entry_is_refused() -> None:
    with pytest.raises(TarDamaged, match="no entry"):
        members(pax((b"path", b"x")) + END)


def test_after_an_error_there_is_no_further_entry() -> None:
    reader = TarReader(io.BytesIO(header(size=b"x" * 12) + header() + END))
    with pytest.raises(TarDamaged):
        next(reader)
    assert list(reader) == []


def test_going_on_skips_the_rest_of_the_content() -> None:
    data = b"".join(header(b"%d" % number, size=2000) + padded(b"%d" % number * 2000) for number in range(3)) + END
    reader = TarReader(io.BytesIO(data))
    assert [reader.read(10) for _ in reader] == [b"0" * 10, b"1" * 10, b"2" * 10]


class Dripping:
    """A stream that gives a few bytes at a time, as a pipe may."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, 7))


def test_short_reads_change_nothing() -> None:
    data = long(b"L", b"n" * 200) + header(size=1000) + padded(b"x" * 1000) + header(b"b") + END
    reader = TarReader(Dripping(data))
    assert [(member.name, b"".join(iter(lambda: reader.read(1 << 16), b""))) for member in reader] == [("n" * 200, b"x" * 1000), ("b", b"")]


def test_limits_of_entries_content_and_stream() -> None:
    three = header(b"a", size=400) + bytes(512) + header(b"b", size=400) + bytes(512) + header(b"c") + END
    assert len(members(three, TarLimits(entries=3, content_bytes=800, total_bytes=6000))) == 3
    assert len(members(pax((b"path", b"x")) + header() + pax((b"path", b"y")) + header() + END, TarLimits(extended_bytes=1100))) == 2
    with pytest.raises(TarTooLarge, match="extended headers"):
        members(pax((b"path", b"x")) + header() + pax((b"path", b"y")) + header() + END, TarLimits(extended_bytes=1000))
    for limits in (TarLimits(entries=2), TarLimits(content_bytes=799), TarLimits(total_bytes=2000)):
        with pytest.raises(TarTooLarge, match="The archive"):
            members(three, limits)


# sparse files


def sparse_1_0(spans: list[tuple[int, int]], data: bytes, size: int) -> bytes:
    numbers = [len(spans), *(number for span in spans for number in span)]
    packed = padded(b"".join(b"%d\n" % number for number in numbers)) + data
    named = pax(
        (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"real"), (b"GNU.sparse.realsize", b"%d" % size)
    )
    return named + header(b"GNUSparseFile.1/real", size=len(packed)) + padded(packed)


def test_a_sparse_file_is_given_with_its_holes() -> None:
    data = sparse_1_0([(1000, 3), (5000, 2), (9000, 0)], b"abcde", 9000) + header(b"next", size=1) + padded(b"n") + END
    [(member, content), (following, after)] = contents(data)
    assert (member.name, member.size, member.sparse) == ("real", 9000, True)
    assert content == bytes(1000) + b"abc" + bytes(3997) + b"de" + bytes(3998)
    assert (following.name, after) == ("next", b"n")


def test_holes_can_be_told_apart_when_copying() -> None:
    reader = TarReader(
        io.BytesIO(sparse_1_0([(1000, 3), (1 << 40, 2)], b"abcde", (1 << 40) + 2) + END), limits=TarLimits(content_bytes=1 << 41)
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
def test_a_sparse_map_that_contradicts_itself_is_refused(spans: list[tuple[int, int]], data: bytes, size: int) -> None:
    with pytest.raises(TarDamaged, match="'real': its sparse map"):
        members(sparse_1_0(spans, data, size) + END)


def test_sparse_maps_have_a_limit() -> None:
    with pytest.raises(TarDamaged, match="map is too long"):
        members(sparse_1_0([(number, 0) for number in range(200_000)], b"", 1 << 30) + END)
    count = pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"1")) + header(size=512)
    with pytest.raises(TarDamaged, match="map is too long"):
        members(count + padded(b"9" * 18 + b"\n") + END)
    with pytest.raises(TarDamaged, match="not a number"):
        members(count + b"9" * 512 + END)
    extended = header(b"s", b"S", rest=b"\1" + bytes(29)) + (bytes(504) + b"\1" + bytes(7)) * 4000
    with pytest.raises(TarDamaged, match="map is too long"):
        members(extended)


def test_sparse_forms_that_are_not_known_are_refused_by_name() -> None:
    with pytest.raises(TarDamaged, match="'a': its sparse format"):
        only(pax((b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0")) + header())
    with pytest.raises(TarDamaged, match="'a': the sparse format of star"):
        only(pax((b"SCHILY.realsize", b"100")) + header())


def gnu_tar(folder: Path, *arguments: str) -> bytes:
    return subprocess.run(["tar", "-C", folder, "-cf", "-", *arguments, "."], check=True, capture_output=True, timeout=60).stdout


@pytest.mark.parametrize(
    "arguments",
    [["--format=gnu"], ["--format=oldgnu"], *(["--format=pax", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0"))],
)
def test_sparse_files_that_gnu_tar_writes(arguments: list[str], tmp_path: Path) -> None:
    for name, places in (("few", [0, 1 << 20]), ("many", range(65_536, 40 << 17, 1 << 17)), ("hole", [])):
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
    assert file.modified == (1_700_000_000_123_456_789 if form == "pax" else 1_700_000_000_000_000_000)
    assert (found["./d"][0].kind, found["./d"][0].mode) == (Kind.FOLDER, 0o750)
    assert (found["./link"][0].kind, found["./link"][0].link) == (Kind.LINK, "d/x")
    assert (found["./other"][0].kind, found["./other"][0].link) == (Kind.HARD_LINK, f"./d/{long_name}")
    if form == "pax":
        assert file.attributes == {"user.a": b"\0=\n"}
    if form != "v7":
        assert found["./pipe"][0].kind is Kind.FIFO


# what tarfile writes

parts = st.text(st.characters(min_codepoint=1, max_codepoint=0x2FFF, exclude_characters="/"), min_size=1, max_size=60)
raw_parts = st.binary(min_size=1, max_size=100).map(lambda data: os.fsdecode(data.replace(b"\0", b"0").replace(b"/", b"1")))
paths = (
    st.lists(parts | raw_parts, min_size=1, max_size=5)
    .map("/".join)
    .filter(lambda name: max(len(os.fsencode(part)) for part in name.split("/")) <= 255)
)
types = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])


@st.composite
def written_entries(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(draw(paths))
    info.type = draw(types)
    info.mode, info.uid, info.gid = draw(st.integers(0, 0o7777)), draw(st.integers(0, 2**31)), draw(st.integers(0, 2**31))
    info.mtime = draw(st.integers(-(2**33), 2**36))
    content = draw(st.binary(max_size=1500)) if info.type == tarfile.REGTYPE else b""
    info.size = len(content)
    if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        info.linkname = draw(paths)
    return info, content


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(entries=st.lists(written_entries(), max_size=5), form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_what_tarfile_writes_comes_back(entries: list[tuple[tarfile.TarInfo, bytes]], form: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
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
    changes=st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.binary(min_size=1, max_size=12)), max_size=6),
    cut=st.integers(0, len(SEED)),
)
def test_damaged_bytes_raise_nothing_else(changes: list[tuple[int, bytes]], cut: int) -> None:
    data = bytearray(SEED)
    for place, new in changes:
        data[place : place + len(new)] = new
    for at in range(0, len(data) - 511, 512):  # checksums made right again where there was a header
        if SEED[at + 257 : at + 262] == b"ustar":
            data[at : at + 512] = signed(data[at : at + 512])
    reader = TarReader(io.BytesIO(bytes(data[: cut or None])), limits=TarLimits(content_bytes=1 << 24))
    try:
        for _ in reader:
            while reader.read(1 << 16):
                pass
    except Unreadable:
        pass  # any other exception fails the test


# archives made to harm: all are generated, none is ever whole in memory or on the disk


class Generated:
    """A stream made of pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def read(self, size: int, /) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def piecewise(head: bytes, filling: bytes, count: int, tail: bytes = END) -> Generated:
    def pieces() -> Iterator[bytes]:
        if head:
            yield head
        for _ in range(count):
            yield filling
        yield tail

    return Generated(pieces())


HUGE = 800 * MIB
BOMBS = {
    "pax": lambda: piecewise(header(kind=b"x", size=HUGE) + b"%d path=" % HUGE, b"a" * MIB, 800),
    "global": lambda: piecewise(header(kind=b"g", size=HUGE) + b"%d path=" % HUGE, b"a" * MIB, 800),
    "solaris": lambda: piecewise(header(kind=b"X", size=HUGE), b"a" * MIB, 800),
    "long name": lambda: piecewise(header(kind=b"L", size=HUGE), b"a" * MIB, 800),
    "long link": lambda: piecewise(header(kind=b"K", size=HUGE), b"a" * MIB, 800),
    "base-256 long name": lambda: piecewise(header(kind=b"L", size=b"\x80" + (1 << 60).to_bytes(11, "big")), b"a" * MIB, 800),
    "chain of long names": lambda: piecewise(b"", header(kind=b"L", size=MIB) + b"a" * MIB, 800),
    "chain of pax headers": lambda: piecewise(b"", pax((b"path", b"x")), 1_000_000),
    "chain of global headers": lambda: piecewise(b"", pax((b"comment", b"x")), 1_000_000),
    "chain of empty long links": lambda: piecewise(b"", header(kind=b"K"), 1_000_000),
    "sparse map in the content": lambda: piecewise(
        pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9"))
        + header(size=HUGE)
        + b"99999999\n".ljust(512, b"0"),
        b"0\n" * (MIB // 2),
        800,
    ),
    "old sparse map": lambda: piecewise(header(b"s", b"S", HUGE, rest=b"\1" + bytes(29)), (b"1" * 504 + b"\1" + bytes(7)) * 2048, 800),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_in_little_memory_and_time(bomb: str) -> None:
    stream = BOMBS[bomb]()
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(Unreadable):
            list(TarReader(stream))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 * MIB
    assert time.process_time() - started < 5


def test_the_densest_extended_header_that_is_allowed_costs_little() -> None:
    """A MiB of the shortest attributes and of the shortest sparse records, again and again."""
    attributes = b"".join(record(b"SCHILY.xattr.%x" % number, b"") for number in range(40_000))[: MIB - 4096]
    attributes = attributes[: attributes.rindex(b"\n") + 1]
    one = header(kind=b"x", size=len(attributes)) + padded(attributes) + header()
    tracemalloc.start()
    try:
        started = time.process_time()
        assert sum(1 for _ in TarReader(piecewise(b"", one, 2))) == 2
        spent = time.process_time() - started
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * MIB
    assert spent < 10


def test_a_global_header_is_not_copied_into_every_entry() -> None:
    pieces = b"".join(record(b"SCHILY.xattr.%x" % number, b"") for number in range(30_000))
    start = header(kind=b"g", size=len(pieces)) + padded(pieces)
    started = time.process_time()
    assert sum(1 for _ in TarReader(piecewise(start, header() * 100, 100))) == 10_000
    assert time.process_time() - started < 5


CHILD = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import runtime.trees.plain, runtime.trees.tar as tar
resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))
class Stream:
    def __init__(self, head, left): self.head, self.left = head, left
    def read(self, size):
        data, self.head = self.head[:size], self.head[size:]
        if not data and self.left:
            data = bytes(min(size, self.left)); self.left -= len(data)
        return data
for kind in sys.stdin.buffer.read(5):
    import tarfile
    info = tarfile.TarInfo("x"); info.type = bytes([kind]); info.size = 800 << 20
    try:
        list(tar.TarReader(Stream(info.tobuf(tarfile.GNU_FORMAT), 800 << 20)))
    except tar.TarTooLarge as error:
        print(error.what)
"""


def test_headers_of_800_mib_pass_a_process_with_256_mib() -> None:
    root = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", CHILD, root], input=b"xXgLK", capture_output=True, timeout=60, check=False)
    assert ended.stderr == b""
    assert ended.stdout.decode().splitlines() == ["The archive holds an extended header of more than 1 MiB, at its start."] * 5
