"""Reading logs that grow, rotate, end in a partial line, or are created late."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.logs import logfile
from portal.logs.logfile import LogLine, Reader, follow, tail


def line(text: str, source: str = "web.1", stream: str = "stdout") -> str:
    return f"2026-11-24T00:50:09.179Z {source} {stream} {text}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hello.log"


def append(path: Path, *texts: str) -> None:
    with path.open("a") as file:
        file.writelines(line(text) for text in texts)


def texts(lines: Iterable[LogLine]) -> list[str]:
    return [line.text for line in lines]


def read_all(reader: Reader) -> list[LogLine]:
    found = []
    while lines := reader.read():
        found += lines
    return found


def test_a_line_has_time_source_stream_and_text(path: Path) -> None:
    path.write_text(line("Hello,  world ", "web.1a2b", "stderr"))
    (found,) = tail(path, 10)
    assert (found.source, found.stream, found.text) == ("web.1a2b", "stderr", "Hello,  world ")
    assert found.at == datetime(2026, 11, 24, 0, 50, 9, 179000, tzinfo=UTC)


def test_a_line_in_another_format_is_only_text(path: Path) -> None:
    path.write_bytes(b"panic\n\xff\xfe odd bytes here\n\n" + line("").encode())
    found = tail(path, 10)
    assert texts(found) == ["panic", "\ufffd\ufffd odd bytes here", "", ""]
    assert [item.at is None for item in found] == [True, True, True, False]


def test_the_tail_is_the_last_lines_and_empty_without_a_file(path: Path) -> None:
    assert tail(path, 10) == []
    append(path, *(f"line {number}" for number in range(5000)))
    assert texts(tail(path, 3)) == ["line 4997", "line 4998", "line 4999"]
    assert len(tail(path, 5000)) == len(tail(path, 9999)) == 5000


def test_the_tail_continues_in_the_rotated_file(path: Path) -> None:
    append(path, "a", "b", "c")
    path.rename(path.with_name("hello.log.1"))
    append(path, "d")
    assert texts(tail(path, 3)) == ["b", "c", "d"]


def test_a_partial_line_waits_for_its_end(path: Path) -> None:
    path.write_text(line("whole") + line("half")[:-3])
    with Reader(path) as reader:
        assert texts(read_all(reader)) == ["whole"]
        with path.open("a") as file:
            file.write(line("half")[-3:])
        assert texts(read_all(reader)) == ["half"]
    assert texts(tail(path, 5)) == ["whole", "half"]


def test_the_id_of_every_line_resumes_directly_after_it(path: Path) -> None:
    append(path, *"abcdef")
    with Reader(path) as reader:
        lines = read_all(reader)
    assert [item.id for item in tail(path, 6)] == [item.id for item in lines], (
        "tail and follow name lines alike"
    )
    for number, item in enumerate(lines):
        with Reader(path, after=item.id) as reader:
            assert texts(read_all(reader)) == texts(lines[number + 1 :])


def test_a_reader_continues_across_a_rotation_without_loss(path: Path) -> None:
    append(path, "a")
    with Reader(path) as reader:
        assert texts(read_all(reader)) == ["a"]
        append(path, "b")
        path.rename(path.with_name("hello.log.1"))
        assert texts(read_all(reader)) == ["b"], (
            "what was written before the rename is in the file that is open"
        )
        append(path, "c")
        assert texts(read_all(reader)) == ["c"]


def test_a_rotation_between_two_reads_loses_nothing(path: Path) -> None:
    append(path, "a")
    with Reader(path) as reader:
        assert texts(read_all(reader)) == ["a"]
        append(path, "b")
        path.rename(path.with_name("hello.log.1"))
        append(path, "c")
        assert texts(read_all(reader)) == ["b", "c"]


def test_an_id_from_before_a_rotation_resumes_in_the_renamed_file(path: Path) -> None:
    append(path, "a", "b")
    first = tail(path, 2)[0].id
    path.rename(path.with_name("hello.log.1"))
    append(path, "c")
    with Reader(path, after=first) as reader:
        assert texts(read_all(reader)) == ["b", "c"]


@pytest.mark.parametrize("after", ["nonsense", "0-0", "ffffffff-ffffffff", "1-", "../x"])
def test_an_id_of_a_deleted_file_resumes_at_the_current_file(path: Path, after: str) -> None:
    append(path, "a")
    with Reader(path, after=after) as reader:
        assert texts(read_all(reader)) == ["a"]


def test_a_line_without_an_end_is_returned_in_pieces(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "_LONGEST", 100)
    path.write_bytes(b"x" * 250)
    with Reader(path) as reader:
        assert sum(len(item.text) for item in read_all(reader)) == 250


def test_following_waits_for_the_file_and_ends_when_all_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "POLL_SECONDS", 0.01)

    async def watch() -> list[str]:
        over = False

        async def done() -> bool:
            return over

        async def write() -> None:
            nonlocal over
            for text in "abc":
                append(path, text)
                await asyncio.sleep(0.03)
            append(path, "the end")
            over = True

        writer = asyncio.create_task(write())
        found = [item.text async for item in follow(path, done=done)]
        await writer
        return found

    assert asyncio.run(asyncio.wait_for(watch(), 10)) == ["a", "b", "c", "the end"]


@given(chunks=st.lists(st.binary(min_size=1, max_size=30), max_size=30))
def test_all_lines_are_returned_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("log") / "x.log"
    found: list[LogLine] = []
    with Reader(path) as reader:
        for chunk in chunks:
            with path.open("ab") as file:
                file.write(chunk)
            found += read_all(reader)
    whole = b"".join(chunks).split(b"\n")[:-1]
    assert len(found) == len(whole)
    assert [int(item.id.split("-")[1], 16) for item in found] == [
        sum(len(text) + 1 for text in whole[: n + 1]) for n in range(len(whole))
    ]
    assert tail(path, len(whole) + 1) == found
