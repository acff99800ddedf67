"""Tests of log shipping from the monitor's file to the app's log: no loss, right order, complete
lines, limited size.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.config import NodeConfig
from runtime.kernel import Kernel
from runtime.logs import logfile
from runtime.logs.shipping import Shipper
from tests.architecture.tree import ROOT


@pytest.fixture
def config(tmp_path):
    return NodeConfig(name="t000000", state=tmp_path)


@pytest.fixture
def shipper(config, tmp_path):
    return Shipper(config=config, console=lambda name: tmp_path / name, free=Kernel().punch_hole)


def console(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(f"2026-11-24T00:50:09.179123456+00:00 {line}\n" for line in lines)


def log(config):
    return (config.app_logs / "shop.log").read_text()


def test_lines_get_their_source_and_a_short_time(shipper, config, tmp_path):
    console(tmp_path / "i", "stdout F Listening on 8000", "stderr F ", "stdout F   indented")
    assert shipper.ship("shop", "i", "web.1a2b3c4d") == 3
    assert log(config).splitlines() == [
        "2026-11-24T00:50:09.179Z web.1a2b3c4d stdout Listening on 8000",
        "2026-11-24T00:50:09.179Z web.1a2b3c4d stderr ",
        "2026-11-24T00:50:09.179Z web.1a2b3c4d stdout   indented",
    ]
    assert shipper.ship("shop", "i", "web.1a2b3c4d") == 0


def test_lines_of_other_sources_keep_their_own_times(shipper, config):
    shipper.add("hello", [(1.5, "GET / 200"), (1795573041.548, "GET /a 404")], source="router")
    assert (config.app_logs / "hello.log").read_text().splitlines() == [
        "1970-01-01T00:00:01.500Z router system GET / 200",
        "2026-11-25T02:17:21.548Z router system GET /a 404",
    ]


def test_parts_of_a_long_line_are_joined_across_streams_and_rounds(shipper, config, tmp_path):
    console(tmp_path / "i", "stdout P one ", "stderr F other")
    shipper.ship("shop", "i", "web.1")
    console(tmp_path / "i", "stdout P two ", "stdout F three")
    shipper.ship("shop", "i", "web.1")
    texts = [line.split(" ", 3)[3] for line in log(config).splitlines()]
    assert sorted(texts) == ["one two three", "other"]


def test_the_last_round_ships_an_unfinished_line_and_forgets_the_instance(
    shipper, config, tmp_path
):
    console(tmp_path / "i", "stdout F first", "stdout P and then it di")
    shipper.ship("shop", "i", "web.1", last=True)
    assert [line.split(" ", 3)[3] for line in log(config).splitlines()] == [
        "first",
        "and then it di",
    ]
    assert list((config.state / "shipping").iterdir()) == []


def test_shipped_parts_are_freed_on_disk_and_nothing_is_lost(shipper, config, tmp_path):
    path = tmp_path / "i"
    for start in range(0, 60_000, 20_000):
        console(
            path, *(f"stdout F line {number} {'x' * 60}" for number in range(start, start + 20_000))
        )
        while shipper.ship("shop", "i", "web.1"):
            pass
    held = path.stat().st_blocks * 512
    assert held < 3 * 2**20 < path.stat().st_size
    text = "".join(
        file.read_text() for file in sorted(config.app_logs.glob("shop.log*"), reverse=True)
    )
    assert [int(found) for found in re.findall(r"line (\d+) ", text)] == list(range(60_000))
    assert shipper.last_lines("i")[-1].startswith("line 59999")


def test_an_instance_that_prints_too_fast_loses_the_middle_with_a_notice(shipper, config, tmp_path):
    shipper = replace(shipper, too_far_behind=2**20, at_most=2**18)
    console(tmp_path / "i", *(f"stdout F line {number} {'x' * 60}" for number in range(40_000)))
    while shipper.ship("shop", "i", "web.1"):
        pass
    lines = log(config).splitlines()
    words = lines[0].split(" ", 2)[2]
    assert (
        words
        == f"system {40_000 - len(lines) + 1} lines (4 MiB) were dropped here, because it prints"
        " faster than they can be kept."
    )
    assert " line 39999 " in lines[-1]


def test_a_new_file_of_the_monitor_is_followed(shipper, config, tmp_path):
    console(tmp_path / "i", "stdout F one", "stdout F two")
    shipper.ship("shop", "i", "web.1")
    console(tmp_path / "new", "stdout F three")
    (tmp_path / "new").rename(tmp_path / "i")
    shipper.ship("shop", "i", "web.1")
    texts = [line.split(" ", 3)[3] for line in log(config).splitlines()]
    assert texts == [
        "one",
        "two",
        "Lines may have been dropped here, because it prints faster than they can be kept.",
        "three",
    ]


def test_a_log_is_rotated_by_rename_at_ten_mebibytes(config):
    path = config.app_logs / "shop.log"
    line = logfile.line("2026-11-24T00:50:09.179Z", "web.1", "stdout", "x" * 1000)
    for _ in range(3):
        logfile.append(path, [line] * 6000, user="nobody", rotate=True)
    assert path.with_name("shop.log.1").stat().st_size > 10 * 2**20
    assert path.stat().st_size < 10 * 2**20
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_log_that_drops_its_oldest_lines_says_how_many(config):
    path = config.app_logs / "shop.log"
    line = logfile.line("2026-11-24T00:50:09.179Z", "web.1", "stdout", "x" * 1000)
    for count in (11_000, 12_000, 1):
        logfile.append(path, [line] * count, user="nobody", rotate=True)
    notice = (
        "slipway system The oldest 11000 lines were dropped, because an app's log keeps its last 10"
        " to 20 MiB.\n"
    )
    assert path.read_text() == f"2026-11-24T00:50:09.179Z {notice}{line}"
    assert path.with_name("shop.log.1").read_text() == line * 12_000


@pytest.mark.parametrize(("step", "left_at_once"), [("os.link", True), ("os.remove", False)])
def test_a_log_whose_creator_was_killed_leaves_nothing_behind(config, step, left_at_once):
    """Kill the process before or after the file gets its name.

    Before that, another process may be creating the file, so it is kept for a while.
    """
    path = config.app_logs / "shop.log"
    code = f"""
import os, pathlib, sys
from runtime.logs import logfile
sys.addaudithook(lambda event, _: event == {step!r} and os.kill(os.getpid(), 9))
logfile.append(pathlib.Path({str(path)!r}), ["a line"], user="nobody")
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == -9
    (left,) = config.app_logs.glob(".*")
    made_at = left.stat().st_mtime
    assert (
        bool(not logfile.sweep(config.app_logs, now=made_at + 60)) == left.exists() == left_at_once
    )
    assert bool(logfile.sweep(config.app_logs, now=made_at + 400)) == left_at_once
    assert not left.exists()
    logfile.append(path, ["t s stdout one\n"], user="nobody")
    assert [(file.name, file.read_text()) for file in config.app_logs.iterdir()] == [
        ("shop.log", "t s stdout one\n")
    ]


def test_only_temporary_log_files_are_swept(config):
    config.app_logs.mkdir(parents=True)
    for name in ("shop.log", "shop.log.1", ".keep", ".shop.log.swp"):
        (config.app_logs / name).touch()
    assert logfile.sweep(config.app_logs, now=2e9 + 1e9) == []
    assert len(list(config.app_logs.iterdir())) == 4
    assert logfile.sweep(config.build_logs, now=3e9) == [], "no build has started yet"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=30),
            st.booleans(),
        ),
        max_size=30,
    ),
    st.data(),
)
def test_kills_lose_no_line_and_repeat_only_the_last_append(tmp_path_factory, written, data):
    folder = tmp_path_factory.mktemp("ship")
    config = NodeConfig(name="t000000", state=folder)
    shipper = Shipper(config=config, console=lambda name: folder / name, free=lambda *_: None)
    for text, ship in written:
        console(folder / "i", f"stdout F {text}")
        if ship:
            before = _progress(folder)
            shipper.ship("shop", "i", "web.1")
            if data.draw(st.booleans()):  # killed after the append, before it stored its progress
                _write_progress(folder, before)
    shipper.ship("shop", "i", "web.1")
    path = config.app_logs / "shop.log"
    got = (
        [line.split(" ", 3)[3] for line in path.read_text().split("\n")[:-1]]
        if path.exists()
        else []
    )
    expected = [logfile.line("t", "s", "x", text)[6:-1] for text, _ in written]
    rest = iter(got)
    assert all(any(text == line for line in rest) for text in expected)
    assert set(got) <= set(expected)


def _progress(folder):
    path = folder / "shipping" / "i.json"
    return path.read_bytes() if path.exists() else None


def _write_progress(folder, data):
    path = folder / "shipping" / "i.json"
    if data is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(data)
