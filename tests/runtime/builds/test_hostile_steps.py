"""What an install script, root in its own namespace, may try against the machine that takes its
files out.
"""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest

from runtime.builds.builder import Builder
from runtime.containers.logs import ConsoleReader
from runtime.errors import BadSource, BuildFailed
from tests.runtime.builds.conftest import Forge


def node_app(script: str) -> dict[str, str]:
    """An app whose build script is the given shell lines."""
    return {"package.json": json.dumps({"name": "evil", "scripts": {"build": "sh evil.sh", "start": "node a.js"}}), "evil.sh": script}


def test_a_setuid_program_made_by_a_build_is_one_no_more_and_none_but_root_reaches_it(forge: Forge) -> None:
    built = forge.build(node_app("cp /bin/true door && chmod 6755 door && ln door window\n"))
    found = [path for layer in forge.store.image(built.digest).layers for path in layer.glob("app/*") if path.name in ("door", "window")]
    assert len(found) == 2
    assert not any(path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID) for path in found)
    for folder in (forge.config.layers, forge.config.images):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_of_holes_larger_than_the_disk_is_refused_not_read(forge: Forge) -> None:
    with pytest.raises(BuildFailed, match="are larger than 1 GiB"):
        forge.build(node_app("truncate -s 8G hole\n"))


def test_folders_too_deep_to_delete_never_leave_the_build_containers_disk(forge: Forge) -> None:
    with pytest.raises(BuildFailed, match="nested more than 200 deep"):
        forge.build(node_app("i=0; while [ $i -lt 1500 ]; do mkdir d; cd -P d; i=$((i+1)); done\n"))
    assert forge.builder.sweep() == []


def test_a_build_that_prints_without_end_ends_by_the_limit_of_its_output_or_of_its_time(forge: Forge) -> None:
    builder, began = Builder(forge.config, forge.store, forge.containers, time_limit=10), time.monotonic()
    # By the machine's speed.
    with pytest.raises(BuildFailed, match="did not end in time|printed more than 128 MiB and was stopped"):
        builder.build(forge.request(node_app("exec yes\n")), lambda _: None)
    assert time.monotonic() - began < 40


def test_a_huge_list_of_dependencies_is_not_read_into_memory(forge: Forge) -> None:
    with pytest.raises(BadSource, match=r"requirements\.txt is larger than 8 MiB"):
        forge.build({"requirements.txt": "#" * (9 << 20), "Procfile": "web: true\n"})


def test_a_console_log_begun_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text("2026-11-24T00:50:09.179+00:00 stdout F before\n" * 3)
    reader = ConsoleReader(log)
    assert [line.text for line in reader.lines()] == ["before"] * 3
    os.truncate(log, 0)
    log.write_text("2026-11-24T00:50:09.179+00:00 stdout F after\n")
    assert [line.text for line in reader.lines()] == ["after"]


def test_a_damaged_note_of_a_cached_step_costs_a_build_and_no_more(forge: Forge) -> None:
    files = node_app("echo done > done\n")
    forge.build(files)
    for note in (forge.config.cache / "steps").glob("*.json"):
        note.write_text("{")
    forge.build(files)
    assert "reused" not in forge.said().partition("Dependencies")[2]
    forge.build(files)
    assert "reused layer" in forge.said()
