"""Tests of install scripts that attack the machine that copies their files.

Each script runs as root of its own namespace.
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
    """Return an app whose build script contains the given shell lines."""
    return {
        "package.json": json.dumps(
            {"name": "evil", "scripts": {"build": "sh evil.sh", "start": "node a.js"}}
        ),
        "evil.sh": script,
    }


def test_setuid_bits_are_removed_and_only_root_reaches_the_files(forge: Forge) -> None:
    built = forge.build(node_app("cp /bin/true door && chmod 6755 door && ln door window\n"))
    found = [
        path
        for layer in forge.store.image(built.digest).layers
        for path in layer.glob("app/*")
        if path.name in ("door", "window")
    ]
    assert len(found) == 2
    assert not any(path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID) for path in found)
    for folder in (forge.config.layers, forge.config.images):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_sparse_file_larger_than_the_disk_is_refused_and_not_read(forge: Forge) -> None:
    with pytest.raises(BuildFailed, match="are larger than 1 GiB"):
        forge.build(node_app("truncate -s 8G hole\n"))


def test_folders_too_deep_to_delete_are_refused(forge: Forge) -> None:
    with pytest.raises(BuildFailed, match="nested more than 200 deep"):
        forge.build(node_app("i=0; while [ $i -lt 1500 ]; do mkdir d; cd -P d; i=$((i+1)); done\n"))
    assert forge.builder.sweep() == []


def test_a_build_with_endless_output_ends_at_a_limit(forge: Forge) -> None:
    builder, began = (
        Builder(forge.config, forge.store, forge.containers, time_limit=10),
        time.monotonic(),
    )
    # The speed of the machine decides which limit is reached first.
    with pytest.raises(
        BuildFailed, match="reached its time limit|printed more than 128 MiB and was stopped"
    ):
        builder.build(forge.request(node_app("exec yes\n")), lambda _: None)
    assert time.monotonic() - began < 40


def test_a_huge_list_of_dependencies_is_not_read_into_memory(forge: Forge) -> None:
    with pytest.raises(BadSource, match=r"requirements\.txt is larger than 8 MiB"):
        forge.build({"requirements.txt": "#" * (9 << 20), "Procfile": "web: true\n"})


def test_a_truncated_console_log_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text("2026-11-24T00:50:09.179+00:00 stdout F before\n" * 3)
    reader = ConsoleReader(log)
    assert [line.text for line in reader.lines()] == ["before"] * 3
    os.truncate(log, 0)
    log.write_text("2026-11-24T00:50:09.179+00:00 stdout F after\n")
    assert [line.text for line in reader.lines()] == ["after"]


def test_a_damaged_record_of_a_cached_step_only_causes_a_rebuild(forge: Forge) -> None:
    files = node_app("echo done > done\n")
    forge.build(files)
    for note in (forge.config.cache / "steps").glob("*.json"):
        note.write_text("{")
    forge.build(files)
    assert "reused" not in forge.said().partition("Dependencies")[2]
    forge.build(files)
    assert "reused layer" in forge.said()
