"""Tests of reading the monitor's log format: complete lines and partial ones."""

from __future__ import annotations

from pathlib import Path

from runtime.containers.logs import ConsoleReader, last_lines

TIME = "2026-11-24T00:50:09.179+00:00"


def test_parts_are_joined_per_stream_and_offsets_continue(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        f"{TIME} stdout P one \n{TIME} stderr F other\n{TIME} stdout F two\n{TIME} stdout F thr"
    )
    reader = ConsoleReader(log)
    assert [(line.stream, line.text) for line in reader.lines()] == [
        ("stderr", "other"),
        ("stdout", "one two"),
    ]
    with log.open("a") as file:
        file.write(f"ee\n{TIME} stdout P end")
        file.write("less\n")
    assert [line.text for line in ConsoleReader(log, reader.offset).lines()] == ["three"]
    assert [line.text for line in [*reader.lines(), *reader.rest()]] == ["three", "endless"]
    assert reader.offset == log.stat().st_size


def test_a_missing_log_has_no_lines(tmp_path: Path) -> None:
    assert [*ConsoleReader(tmp_path / "log").lines()] == []
    assert last_lines(tmp_path / "log", 5) == []


def test_the_last_lines_of_a_long_log_are_complete(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"{TIME} stdout F line {number}\n" for number in range(5000)))
    assert [line.text for line in last_lines(log, 2)] == ["line 4998", "line 4999"]


def test_empty_lines_and_invalid_bytes_are_accepted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(f"{TIME} stdout F \n{TIME} stdout F ".encode() + b"\xff\n")
    assert [line.text for line in ConsoleReader(log).lines()] == ["", "�"]


def test_a_huge_log_is_read_in_pieces(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(f"{TIME} stdout F {'x' * 1000}\n" * 6000)
    reader, pieces = ConsoleReader(log), []
    while piece := list(reader.lines()):
        pieces.append(len(piece))
    assert sum(pieces) == 6000
    assert len(pieces) > 1
