"""Tests of kernel limits per user: one team uses up its own, and other teams and the host are not
affected.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from runtime.config import NodeConfig
from runtime.containers import kernel_accounts
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import ContainerSpec
from runtime.containers.userns import owner
from runtime.kernel import Kernel
from tests.runtime.containers.conftest import printed, settle

Spec = Callable[..., ContainerSpec]

PROGRAM = (Path(__file__).parent / "programs/accounts.py").read_text()
SOME = 20
KINDS = ("inotify_instances", "message_queues", "pending_signals", "locked_memory", "timers")


def taken(lines: list[str]) -> dict[str, int]:
    return {name: int(number) for name, number in (line.split() for line in lines if " " in line)}


def take(containers: Containers, spec: ContainerSpec) -> dict[str, int]:
    """Launch the program and wait until it has taken everything it can."""
    containers.launch(spec)
    settle(
        lambda: "ready" in printed(containers, spec.id),
        60,
        lambda: f"{printed(containers, spec.id)}",
    )
    return taken(printed(containers, spec.id))


def test_a_team_that_uses_up_its_limits_does_not_affect_others(
    containers: Containers, spec: Spec
) -> None:
    greedy = take(containers, spec("python3", "-c", PROGRAM, "0", team=1))
    again = take(containers, spec("python3", "-c", PROGRAM, "0", team=1))
    assert greedy["inotify_instances"] > SOME
    assert again["inotify_instances"] == again["pending_signals"] == 0, (
        "the team has more than one set of limits"
    )
    other = take(containers, spec("python3", "-c", PROGRAM, str(SOME), team=2))
    some = {
        **dict.fromkeys(KINDS, SOME),
        "message_queues": other["message_queues"],
        "locked_memory": other["locked_memory"],
    }
    assert other == some
    assert other["message_queues"] >= 5
    assert other["locked_memory"] >= 5
    # The queues and segments of this process end with its own IPC namespace.
    host = subprocess.run(
        ["unshare", "--ipc", "python3", "-c", PROGRAM, str(SOME)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert taken(host.stdout.splitlines())["inotify_instances"] == SOME
    assert taken(host.stdout.splitlines())["pending_signals"] == SOME
    assert taken(host.stdout.splitlines())["timers"] == SOME
    assert taken(host.stdout.splitlines())["message_queues"] >= 5


def test_a_container_process_has_the_limits_of_its_team(containers: Containers, spec: Spec) -> None:
    wanted = spec("sleep", "60")
    pid = containers.launch(wanted).pid
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    limits = {line[:26].strip(): line[26:].split()[:2] for line in lines}
    words = {"RLIMIT_SIGPENDING": "Max pending signals", "RLIMIT_MSGQUEUE": "Max msgqueue size"}
    words |= {"RLIMIT_MEMLOCK": "Max locked memory", "RLIMIT_NPROC": "Max processes"}
    assert {name: limits[word] for name, word in words.items()} == {
        name: [str(most)] * 2 for name, most in kernel_accounts.rlimits().items()
    }


def test_a_team_namespace_belongs_to_its_first_id_and_has_own_limits(
    containers: Containers, spec: Spec
) -> None:
    settings = kernel_accounts.settings()
    shown = 'cd /proc/sys/user && for name in "$@"; do echo "$name $(cat $name)"; done; sleep 60'
    wanted = spec("sh", "-c", shown, "sh", *settings, team=3)
    pid = containers.launch(wanted).pid
    settle(lambda: len(printed(containers, wanted.id)) == len(settings), 30)
    assert taken(printed(containers, wanted.id)) == settings
    assert settings["max_user_namespaces"] == 0
    assert pid is not None
    assert owner(pid) == wanted.first_id


def test_a_pin_of_an_earlier_version_is_kept_and_not_used(
    containers: Containers, node: NodeConfig, spec: Spec
) -> None:
    older = node.run / "userns/1"  # owned by root, as earlier versions created it
    older.touch()
    with subprocess.Popen(["unshare", "--user", "cat"], stdin=subprocess.PIPE) as holder:
        settle(
            lambda: (
                Path(f"/proc/{holder.pid}/ns/user").stat().st_ino
                != Path("/proc/self/ns/user").stat().st_ino
            ),
            10,
        )
        Kernel().bind(Path(f"/proc/{holder.pid}/ns/user"), older)
        pinned = older.stat().st_ino
        assert owner(holder.pid) == 0
    assert owner(holder.pid) is None
    pid = containers.launch(spec("sleep", "60", team=1)).pid
    assert pid is not None
    assert owner(pid) == spec(team=1).first_id
    assert older.stat().st_ino == pinned
