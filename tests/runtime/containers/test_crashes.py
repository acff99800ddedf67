"""Tests with kill -9 of our processes at any moment: sweep and remove clean up everything."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.containers.container import Status
from runtime.containers.folder import Folder
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import ContainerSpec
from runtime.contract.json_values import to_json
from tests.runtime.containers.conftest import printed, settle, traces

Spec = Callable[..., ContainerSpec]

LAUNCHER = """
import json, sys
from pathlib import Path
from runtime.config import NodeConfig
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import ContainerSpec
from runtime.contract.json_values import from_json
name, state, run, spec = json.loads(sys.stdin.readline())
containers = Containers(NodeConfig(name=name, state=Path(state), run=Path(run)))
containers.prepare()
print("go", flush=True)
containers.launch(from_json(spec, ContainerSpec))
print("launched", flush=True)
sys.stdin.read()
"""


def test_a_launcher_killed_at_any_moment_leaves_nothing_after_a_sweep(
    node: NodeConfig, containers: Containers, spec: Spec
) -> None:
    # The first launch may take ten times as long as later ones.
    whole = min(_seconds_of_a_launch(containers, spec("true")) for _ in range(3))
    before = traces(node)
    moments = [whole * number / 14 for number in range(16)] + [
        random.uniform(0, whole) for _ in range(6)
    ]
    half_made = 0
    for number, moment in enumerate(moments):
        wanted = spec("sleep", "60", id=f"victim-{number}")
        with _launcher(node, wanted) as launcher:
            assert launcher.stdout is not None
            assert launcher.stdout.readline() == b"go\n"
            time.sleep(moment)
            launcher.kill()
        words = containers.sweep()
        # A starting child holds its lock for a moment. The container counts as incomplete during
        # that time.
        settle(partial(_swept, containers, words), 30)
        half_made += any("half-made" in word for word in words)
        for container in containers.list():
            containers.remove(container.id)
        settle(
            lambda: traces(node) == before,
            30,
            lambda: f"victim {number}: {traces(node)}\nbefore: {before}",  # noqa: B023
        )
        assert [path.name for path in node.instances.iterdir()] == [".lock"]
        assert not any((node.run / "crun").iterdir())
    assert half_made >= 3  # otherwise all moments were too late or too early


def _seconds_of_a_launch(containers: Containers, wanted: ContainerSpec) -> float:
    start = time.monotonic()
    containers.launch(wanted)
    seconds = time.monotonic() - start
    containers.remove(wanted.id)
    return seconds


def test_a_container_survives_its_launcher_and_keeps_log_and_exit_code(
    node: NodeConfig, containers: Containers, spec: Spec
) -> None:
    wanted = spec("sh", "-c", "echo one; sleep 0.6; echo two; exit 7")
    with _launcher(node, wanted) as launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == b"go\n"
        assert launcher.stdout.readline() == b"launched\n"
        os.killpg(launcher.pid, signal.SIGKILL)
    settle(lambda: (state := containers.state(wanted.id)) and state.status is Status.EXITED, 30)
    state = containers.state(wanted.id)
    assert state is not None
    assert state.exit is not None
    assert state.exit.code == 7
    assert printed(containers, wanted.id) == ["one", "two"]


def test_a_container_whose_monitor_was_killed_is_broken_and_removable(
    node: NodeConfig, containers: Containers, spec: Spec
) -> None:
    wanted = spec("sleep", "60")
    containers.launch(wanted)
    made = Folder(node.instances / wanted.id).made()
    assert made is not None
    os.kill(made.monitor, signal.SIGKILL)
    settle(lambda: (state := containers.state(wanted.id)) and state.status is Status.BROKEN, 30)
    containers.remove(wanted.id)
    assert containers.list() == []


def test_an_app_killed_from_outside_reports_the_signal(containers: Containers, spec: Spec) -> None:
    wanted = spec("sleep", "60")
    pid = containers.launch(wanted).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    settle(lambda: (state := containers.state(wanted.id)) and state.exit, 30)
    state = containers.state(wanted.id)
    assert state is not None
    assert state.exit is not None
    assert state.exit.explain() == "It was ended by SIGKILL."


def test_after_a_reboot_no_container_counts_as_running(
    node: NodeConfig, containers: Containers, spec: Spec
) -> None:
    wanted = spec("sleep", "60")
    containers.launch(wanted)
    record = node.instances / wanted.id / "made.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "boot": "another"}))
    state = containers.state(wanted.id)
    assert state is not None
    assert (state.status, state.pid) == (Status.BROKEN, None)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"spec": {}}'])
def test_a_journal_truncated_by_a_power_failure_is_swept(
    node: NodeConfig, containers: Containers, damage: str
) -> None:
    folder = Folder(node.instances / "torn")
    folder.make()
    (folder.path / "container.json").write_text(damage)
    assert containers.list() == []
    assert containers.sweep() == ["removed the half-made container torn"]


def test_remains_without_a_folder_are_swept_and_running_ones_stay(
    node: NodeConfig, containers: Containers, spec: Spec
) -> None:
    living, wanted = spec("sleep", "60"), spec("sleep", "60")
    for container_spec in (living, wanted):
        containers.launch(container_spec)
    before = traces(node)
    hidden = node.instances / ".gone-lost-1"
    (node.instances / wanted.id).rename(hidden)
    done = containers.sweep()
    assert any("control group" in word for word in done), done
    assert any("record" in word for word in done), done
    assert not hidden.exists()
    assert not any(wanted.id in trace for trace in traces(node))
    assert len(traces(node)) < len(before)
    state = containers.state(living.id)
    assert state is not None
    assert state.status is Status.RUNNING


def _swept(containers: Containers, words: list[str]) -> bool:
    if any(container.status is Status.BROKEN for container in containers.list()):
        words += containers.sweep()
    return all(container.status is not Status.BROKEN for container in containers.list())


def _launcher(node: NodeConfig, wanted: ContainerSpec) -> subprocess.Popen[bytes]:
    """Start a process that launches one container and then waits."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER],
        stdin=pipe,
        stdout=pipe,
        start_new_session=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdin is not None
    process.stdin.write(
        json.dumps([node.name, str(node.state), str(node.run), to_json(wanted)]).encode() + b"\n"
    )
    process.stdin.flush()
    return process


@pytest.mark.skipif(
    not Path("/sys/fs/cgroup/unified").is_mount(),
    reason="only on machines that have cgroup2 and version 1",
)
def test_nothing_is_left_below_a_mount_over_cgroup2(
    node: NodeConfig, containers: Containers, spec: Spec
) -> None:
    containers.launch(spec("sleep", "60"))
    look = "umount -l /sys/fs/cgroup/unified; ls /sys/fs/cgroup/unified"
    seen = subprocess.run(
        ["unshare", "--mount", "--propagation=slave", "sh", "-c", look],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert node.name not in seen
