"""Tests of the tar reader: every form of header, damage and limits."""

from __future__ import annotations

import io

import pytest

from runtime.trees.tar import TarReader
from runtime.trees.tar_entries import Kind, Member, TarDamaged, TarLimits, TarTooLarge
from tests.runtime.trees.tars import END, contents, header, long, members, only, padded, pax, signed


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


def test_a_v7_name_with_a_final_slash_is_a_folder() -> None:
    assert only(header(b"d/", b"\0", magic=bytes(8))).kind is Kind.FOLDER
    assert only(header(b"d/", b"0")).kind is Kind.FILE


@pytest.mark.parametrize("magic", [b"ustar\x0000", b"ustar  \0", bytes(8), b"ustar\0  "])
def test_every_magic_is_read(magic: bytes) -> None:
    assert only(header(b"name", magic=magic)).name == "name"


def test_the_prefix_is_used_for_ustar_and_is_shorter_for_star() -> None:
    prefix = b"some/folder".ljust(155, b"\0") + bytes(12)
    times = b"some/folder".ljust(131, b"\0") + b"00000000005\0" * 2 + bytes(8)
    assert only(header(b"n", rest=prefix)).name == "some/folder/n"
    assert only(header(b"n", rest=times + b"tar\0")).name == "some/folder/n"
    assert only(header(b"n", rest=prefix, magic=b"ustar  \0")).name == "n"
    assert only(header(b"n", rest=prefix, magic=bytes(8))).name == "n"


def test_an_empty_first_name_is_returned_unchanged() -> None:
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
    "written",
    [
        b"0000000000x\0",
        b"-1\0\0\0\0\0\0\0\0\0\0",
        b"1_0".ljust(12, b"\0"),
        b"0o7".ljust(12, b"\0"),
        b"9" * 12,
    ],
)
def test_a_size_that_is_not_an_octal_number_is_refused(written: bytes) -> None:
    with pytest.raises(TarDamaged, match="'a': its size is not a number"):
        only(header(size=written))


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(TarDamaged, match="'a': its size is negative"):
        only(header(size=b"\xff" * 12))
    with pytest.raises(TarDamaged, match="'a': its size is negative"):
        only(pax((b"size", b"-1")) + header())
    with pytest.raises(TarDamaged, match="negative size"):
        only(header(kind=b"x", size=b"\xff" * 12))


def test_a_huge_size_is_refused_and_not_allocated() -> None:
    with pytest.raises(TarTooLarge, match="'a'"):
        only(header(size=b"\x80" + b"\xff" * 11))
    with pytest.raises(TarTooLarge, match="'a'"):
        only(pax((b"size", b"9" * 20)) + header())


def test_owners_out_of_range_are_refused_unless_they_are_ignored() -> None:
    for damaged in (
        header(uid=b"\xff" * 8),
        header(uid=b"\x80\0\0\0\xff\xff\xff\xff"),
        pax((b"uid", b"4294967295")) + header(),
    ):
        with pytest.raises(TarDamaged, match="its owner is out of range"):
            only(damaged)
        assert members(damaged + END, TarLimits(check_owners=False))[0].name == "a"
    assert (
        only(pax((b"uid", b"4294967294"), (b"gid", b"3000000000")) + header()).gid == 3_000_000_000
    )


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


@pytest.mark.parametrize(
    "value",
    [
        b"nan",
        b"inf",
        b"-inf",
        b"1e9",
        b"1.5.5",
        b"0x1",
        b" 1",
        b"9" * 20,
        b"9" * 5000,
        b"1_0",
        b"-",
    ],
)
def test_invalid_times_are_refused(value: bytes) -> None:
    with pytest.raises(TarDamaged, match="'a': its time"):
        only(pax((b"mtime", value)) + header())


def test_a_header_time_may_be_before_1970_or_far_in_the_future() -> None:
    assert only(header(mtime=b"\xff" * 12)).modified == -1_000_000_000
    with pytest.raises(TarDamaged, match="time is out of range"):
        only(header(mtime=b"\x80" + b"\xff" * 11))


def test_pax_records_override_the_header_unless_they_are_empty() -> None:
    member = only(
        pax((b"path", "é/\udcff".encode("utf-8", "surrogateescape")), (b"hdrcharset", b"BINARY"))
        + header()
    )
    assert member.name == "é/\udcff"
    assert only(pax((b"path", b"")) + header()).name == "a"
    assert only(pax((b"path", b"first"), (b"path", b"second")) + header()).name == "second"
    assert only(pax((b"linkpath", b"x" * 300)) + header(kind=b"2", link=b"y")).link == "x" * 300
    # The later header replaces the earlier one.
    assert only(pax((b"path", b"one")) + pax((b"uid", b"9")) + header()).name == "a"


def test_a_pax_size_sets_the_start_of_the_next_entry() -> None:
    data = pax((b"size", b"600")) + header(size=0) + padded(b"z" * 600) + header(b"b") + END
    assert [(member.name, len(content)) for member, content in contents(data)] == [
        ("a", 600),
        ("b", 0),
    ]


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_links_folders_and_devices_have_no_content_whatever_their_size(kind: bytes) -> None:
    assert [
        member.name
        for member in members(header(b"l", kind, 5000, link=b"t") + header(b"next") + END)
    ] == ["l", "next"]


def test_an_unknown_type_has_content_that_is_skipped() -> None:
    assert [
        member.name
        for member in members(header(b"v", b"V", 600) + bytes(1024) + header(b"next") + END)
    ] == ["v", "next"]


def test_extended_attributes() -> None:
    member = only(
        pax(
            (b"SCHILY.xattr.security.capability", b"\x01\0=\n"),
            (b"SCHILY.xattr.user.e", b""),
            (b"SCHILY.xattr.", b""),
        )
        + header()
    )
    assert dict(member.attributes) == {"security.capability": b"\x01\0=\n", "user.e": b""}


def test_a_global_header_applies_to_later_entries_and_a_local_one_wins() -> None:
    data = (
        pax((b"uid", b"77"), (b"SCHILY.xattr.user.a", b"x"), kind=b"g")
        + header(b"a")
        + pax((b"uid", b"5"))
        + header(b"b")
        + header(b"c")
    )
    found = members(data + END)
    assert [member.uid for member in found] == [77, 5, 77]
    assert not any(member.attributes for member in found)
    # An empty git archive looks like this.
    assert members(pax((b"comment", b"c" * 40), kind=b"g") + END) == []


def test_solaris_headers_are_pax_headers() -> None:
    assert only(pax((b"path", b"solaris"), kind=b"X") + header()).name == "solaris"


def test_gnu_long_names_have_precedence_over_pax_paths() -> None:
    name, target = b"n" * 200 + b"/" + b"m" * 200, b"t" * 400
    member = only(
        long(b"K", target) + long(b"L", name) + pax((b"path", b"other")) + header(kind=b"2")
    )
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


def test_a_wrong_checksum_names_the_previous_entry() -> None:
    with pytest.raises(
        TarDamaged, match="at the entry 'first': the next header has a wrong checksum"
    ):
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


def test_an_archive_may_end_without_its_mark_and_ends_at_the_mark() -> None:
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


def test_the_next_entry_skips_the_remaining_content() -> None:
    data = (
        b"".join(
            header(b"%d" % number, size=2000) + padded(b"%d" % number * 2000) for number in range(3)
        )
        + END
    )
    reader = TarReader(io.BytesIO(data))
    assert [reader.read(10) for _ in reader] == [b"0" * 10, b"1" * 10, b"2" * 10]


class Dripping:
    """Stream that returns a few bytes at a time, as a pipe may."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, 7))


def test_short_reads_change_nothing() -> None:
    data = long(b"L", b"n" * 200) + header(size=1000) + padded(b"x" * 1000) + header(b"b") + END
    reader = TarReader(Dripping(data))
    assert [
        (member.name, b"".join(iter(lambda: reader.read(1 << 16), b""))) for member in reader
    ] == [("n" * 200, b"x" * 1000), ("b", b"")]


def test_limits_of_entries_content_and_stream() -> None:
    three = (
        header(b"a", size=400)
        + bytes(512)
        + header(b"b", size=400)
        + bytes(512)
        + header(b"c")
        + END
    )
    assert len(members(three, TarLimits(entries=3, content_bytes=800, total_bytes=6000))) == 3
    assert (
        len(
            members(
                pax((b"path", b"x")) + header() + pax((b"path", b"y")) + header() + END,
                TarLimits(extended_bytes=1100),
            )
        )
        == 2
    )
    with pytest.raises(TarTooLarge, match="extended headers"):
        members(
            pax((b"path", b"x")) + header() + pax((b"path", b"y")) + header() + END,
            TarLimits(extended_bytes=1000),
        )
    for limits in (TarLimits(entries=2), TarLimits(content_bytes=799), TarLimits(total_bytes=2000)):
        with pytest.raises(TarTooLarge, match="The archive"):
            members(three, limits)
