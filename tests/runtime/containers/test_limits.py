"""Tests of the limits of a container and of a team's containers together, also when the limits
change while they run.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.containers.bundle import OOM_SCORE_OF_BUILDS
from runtime.containers.cgroups.cgroup import flat
from runtime.containers.cgroups.v2 import UnifiedCgroups
from runtime.containers.container import Exit, Status
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import ContainerSpec, Purpose, TeamLimits
from runtime.contract.quantities import Bytes, Millicores
from runtime.errors import KernelRefused
from tests.runtime.containers.conftest import LIMITS, printed, settle

Output = Callable[..., tuple[Exit, list[str]]]
Spec = Callable[..., ContainerSpec]

BUSY = ("sh", "-c", "while :; do :; done")
MIB = 2**20
EAT = "print('start', flush=True)\nblocks = []\nwhile True: blocks.append(b'x' * 2**20)"

KEEPS = """
import os, time
with open("/tmp/much", "wb") as much:
    much.write(os.urandom(8 * 2**20))
    much.flush()
    os.fsync(much.fileno())
open("/tmp/much", "rb").read()
print("read", flush=True)
time.sleep(1000)
"""


def test_a_cpu_limit_is_kept_and_a_lower_one_applies_within_seconds(
    containers: Containers, spec: Spec
) -> None:
    wanted = spec(*BUSY, limits=replace(LIMITS, cpu=Millicores(250)))
    containers.launch(wanted)
    # A busy machine gives less, never more.
    assert 0.05 < _cpu_share(containers, [wanted.id]) < 0.31
    containers.set_limits(wanted.id, replace(LIMITS, cpu=Millicores(100)))
    time.sleep(0.3)
    assert 0.02 < _cpu_share(containers, [wanted.id]) < 0.14
    state = containers.state(wanted.id)
    assert state is not None
    assert state.spec.limits.cpu == 100


def test_a_team_limit_covers_two_containers_and_changes_while_they_run(
    containers: Containers, spec: Spec
) -> None:
    containers.set_team_limits(
        1, TeamLimits(cpu=Millicores(300), memory=Bytes(512 * MIB), processes=256)
    )
    wanted = [spec(*BUSY), spec(*BUSY)]
    for container_spec in wanted:
        containers.launch(container_spec)
    ids = [container_spec.id for container_spec in wanted]
    assert 0.06 < _cpu_share(containers, ids) < 0.38
    containers.set_team_limits(
        1, TeamLimits(cpu=Millicores(100), memory=Bytes(512 * MIB), processes=256)
    )
    time.sleep(0.2)
    assert 0.02 < _cpu_share(containers, ids) < 0.15
    containers.set_team_limits(
        1, TeamLimits(cpu=Millicores(600), memory=Bytes(512 * MIB), processes=256)
    )
    time.sleep(0.2)
    assert 0.16 < _cpu_share(containers, ids) < 0.75


def test_team_limits_may_change_while_containers_come_and_go(
    containers: Containers, spec: Spec
) -> None:
    def come_and_go() -> None:
        for _ in range(15):
            wanted = spec("sleep", "60")
            containers.launch(wanted)
            containers.remove(wanted.id)

    limits = TeamLimits(cpu=Millicores(300), memory=Bytes(512 * MIB), processes=256)
    with ThreadPoolExecutor(2) as pool:
        going = [pool.submit(come_and_go) for _ in range(2)]
        while not all(future.done() for future in going):
            containers.set_team_limits(1, limits)
            limits = replace(limits, cpu=Millicores(400 - limits.cpu + 300))
        assert [future.result() for future in going] == [None, None]


def test_a_container_that_uses_all_its_memory_is_killed_and_says_so(output: Output) -> None:
    ended, lines = output("python3", "-c", EAT, limits=replace(LIMITS, memory=Bytes(32 * MIB)))
    assert lines == ["start"]
    assert (ended.code, ended.out_of_memory) == (137, True)
    assert ended.explain() == "It used all of its 32 MiB of memory and was killed."


def test_a_lower_memory_limit_of_the_team_applies(containers: Containers, output: Output) -> None:
    containers.set_team_limits(
        1, TeamLimits(cpu=Millicores(2000), memory=Bytes(32 * MIB), processes=256)
    )
    ended, _ = output("python3", "-c", EAT)
    assert (ended.code, ended.out_of_memory) == (137, True)
    assert "team's memory" in ended.explain()


def test_a_memory_limit_below_the_use_is_refused_or_kills(
    containers: Containers, spec: Spec
) -> None:
    wanted = spec(
        "python3",
        "-c",
        "b = bytearray(b'x') * (60 * 2**20); print('full', flush=True); import time;"
        " time.sleep(60)",
    )
    containers.launch(wanted)
    settle(lambda: printed(containers, wanted.id) == ["full"], 30)
    containers.set_limits(wanted.id, replace(LIMITS, memory=Bytes(256 * MIB)))
    try:
        containers.set_limits(wanted.id, replace(LIMITS, memory=Bytes(16 * MIB)))
    except KernelRefused as refusal:
        assert "restart" in refusal.hint  # noqa: PT017 -- which of the two happens is the kernel's affair
    else:  # version 2 frees memory
        settle(
            lambda: (
                (state := containers.state(wanted.id)) and state.exit and state.exit.out_of_memory
            ),
            30,
        )


def test_endless_forking_is_limited_and_visible_in_the_usage(
    containers: Containers, spec: Spec
) -> None:
    program = (
        "import os, time\ntry:\n    while True:\n        if os.fork() == 0: time.sleep(60)\nexcept"
        " OSError as error: print(error.strerror, flush=True)\ntime.sleep(60)"
    )
    wanted = spec("python3", "-c", program, limits=replace(LIMITS, processes=20))
    containers.launch(wanted)
    settle(lambda: printed(containers, wanted.id), 30)
    assert printed(containers, wanted.id) == ["Resource temporarily unavailable"]
    usage = containers.usage(wanted.id)
    assert usage is not None
    assert usage.processes == 20


def test_a_full_disk_is_reported_inside_and_does_not_fill_the_host(
    output: Output, node: object, place: object
) -> None:
    before = shutil.disk_usage(str(place)).free
    ended, lines = output(
        "sh",
        "-c",
        "dd if=/dev/zero of=/tmp/fill bs=1M count=200; ls -l /tmp; rm /tmp/fill; echo again >"
        " /tmp/x && cat /tmp/x",
    )
    assert ended.code == 0
    assert any("No space left on device" in line for line in lines)
    assert lines[-1] == "again"
    assert before - shutil.disk_usage(str(place)).free < 100 * MIB


def test_a_frozen_container_releases_its_page_cache(containers: Containers, spec: Spec) -> None:
    if not isinstance(containers._cgroups, UnifiedCgroups):
        pytest.skip("version 1 does not support it")
    wanted = spec("python3", "-c", KEEPS)
    containers.launch(wanted)
    stat = containers._cgroups._group(wanted.team, wanted.id) / "memory.stat"

    def cached() -> int:
        fields = flat(stat.read_text())
        return fields["active_file"] + fields["inactive_file"]

    settle(lambda: "read" in printed(containers, wanted.id), 60)
    before = cached()
    assert before > 6 * MIB
    containers.freeze(wanted.id)
    containers.reclaim(wanted.id)
    assert cached() < before / 2
    containers.freeze(wanted.id, frozen=False)
    containers.reclaim("gone")


def test_usage_is_measured(containers: Containers, spec: Spec) -> None:
    program = (
        "b = bytearray(b'x') * (30 * 2**20)\nopen('/tmp/f', 'wb').write(b[:10 *"
        " 2**20])\nsum(range(10**6))\nprint('done', flush=True)\nimport time; time.sleep(60)"
    )
    wanted = spec("python3", "-c", program)
    containers.launch(wanted)
    settle(lambda: printed(containers, wanted.id) == ["done"], 30)
    usage = containers.usage(wanted.id)
    assert usage is not None
    assert 30 * MIB < usage.memory_bytes < 80 * MIB
    assert 10 * MIB <= usage.disk_bytes < 12 * MIB
    assert usage.processes == 1
    assert 0.01 < usage.cpu_seconds < 60
    assert usage.oom_kills == 0


def test_a_missing_container_has_no_usage(containers: Containers) -> None:
    assert containers.usage("nobody") is None


def _cpu_share(containers: Containers, ids: list[str], seconds: float = 1.2) -> float:
    def spent() -> float:
        return sum(usage.cpu_seconds for id_ in ids if (usage := containers.usage(id_)))

    before, start = spent(), time.monotonic()
    time.sleep(seconds)
    return (spent() - before) / (time.monotonic() - start)


def test_a_build_gets_spare_cpu_only_and_does_not_use_its_teams_limits(
    containers: Containers, spec: Spec
) -> None:
    cores = os.cpu_count() or 1
    plenty = replace(LIMITS, cpu=Millicores(cores * 1000))
    containers.set_team_limits(
        1, TeamLimits(cpu=Millicores(cores * 1000), memory=Bytes(512 * MIB), processes=256)
    )
    loops = ("sh", "-c", "; ".join(["while :; do :; done &"] * cores + ["wait"]).replace("&;", "&"))
    app, other = spec(*loops, limits=plenty), spec(*loops, limits=plenty, team=2)
    builds = [
        spec(*loops, limits=plenty, purpose=Purpose.BUILD, uid=0, gid=0, team=team)
        for team in (1, 2)
    ]
    # Builds first: next to busy apps they start with the CPU time that remains, which is almost
    # none.
    for container_spec in (*builds, app, other):
        containers.launch(container_spec)
    before = [_spent(containers, container_spec.id) for container_spec in (app, other, *builds)]
    settle(
        lambda: (
            min(
                _spent(containers, container_spec.id) - start
                for container_spec, start in zip((app, other), before[:2], strict=True)
            )
            > 0.6
        ),
        60,
    )
    used = [
        _spent(containers, container_spec.id) - start
        for container_spec, start in zip((app, other, *builds), before, strict=True)
    ]
    assert sum(used[2:]) * 4 < sum(used[:2]), used
    state = containers.state(builds[0].id)
    assert state is not None
    assert Path(f"/proc/{state.pid}/oom_score_adj").read_text().strip() == str(OOM_SCORE_OF_BUILDS)


def test_a_frozen_build_stops_continues_when_thawed_and_can_be_ended(
    containers: Containers, spec: Spec
) -> None:
    wanted = spec(*BUSY, purpose=Purpose.BUILD, uid=0, gid=0)
    containers.launch(wanted)
    settle(lambda: _spent(containers, wanted.id) > 0.05, 30)
    containers.freeze(wanted.id)
    assert containers.is_frozen(wanted.id)
    time.sleep(0.2)  # the last of its processes stops a moment later
    before = _spent(containers, wanted.id)
    time.sleep(0.5)
    assert _spent(containers, wanted.id) == before
    containers.freeze(wanted.id, frozen=False)
    settle(lambda: _spent(containers, wanted.id) > before + 0.05, 30)
    containers.freeze(wanted.id)
    containers.stop(wanted.id, grace=0)
    state = containers.state(wanted.id)
    assert state is not None
    assert state.status is Status.EXITED
    containers.remove(wanted.id)
    containers.freeze(wanted.id)  # freezing a removed container succeeds
    assert not containers.is_frozen(wanted.id)


def _spent(containers: Containers, id: str) -> float:
    usage = containers.usage(id)
    assert usage is not None
    return usage.cpu_seconds
