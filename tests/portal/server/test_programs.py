"""Programs of the portal in real control groups: each limit ends them with a message and leaves
nothing."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from portal.programs import confinement, groups, running
from portal.programs.limits import MIB, ProgramLimits, ReachedLimit
from portal.programs.running import Completed
from runtime.containers.cgroups.cgroup import PORTAL, Cgroups
from runtime.containers.cgroups.delegation import delegate, entrances
from tests.portal.git.packs import groups_in

ENVIRONMENT = {"PATH": os.environ["PATH"]}
WIDE = ProgramLimits(
    memory=128 * MIB, cpu_seconds=60, seconds=60, file_size=100 * MIB, processes=16
)


@pytest.fixture(autouse=True)
def subtrees(portal_groups: Cgroups) -> Iterator[list[Path]]:
    confinement.subtree.cache_clear()
    found = [root / PORTAL for root in portal_groups.held]
    yield found
    assert not [folder for root in found for folder in root.glob("team*")]


def run(*command: str, limits: ProgramLimits = WIDE) -> Completed:
    return asyncio.run(running.run(command, environment=ENVIRONMENT, limits=limits, team=7))


def python(code: str, limits: ProgramLimits = WIDE) -> Completed:
    return run(sys.executable, "-S", "-c", code, limits=limits)


def limited(**changed: int) -> ProgramLimits:
    values = {
        "memory": 128 * MIB,
        "cpu_seconds": 60,
        "seconds": 60,
        "file_size": 100 * MIB,
        "processes": 16,
    }
    return ProgramLimits(**{**values, **changed})


def test_output_and_exit_code_of_a_program_are_returned() -> None:
    done = run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.code, done.stdout, done.stderr, done.reached) == (3, b"out\n", "err", None)


@pytest.mark.parametrize(
    ("code", "limits", "reached", "sentence"),
    [
        (
            "bytearray(300 << 20)",
            limited(),
            ReachedLimit.MEMORY,
            "It needed more than 128 MiB of memory and was stopped.",
        ),
        (
            "while True: pass",
            limited(cpu_seconds=1),
            ReachedLimit.CPU,
            "It needed more than 1 s of processor time and was stopped.",
        ),
        (
            "import time; time.sleep(60)",
            limited(seconds=1),
            ReachedLimit.TIME,
            "It took longer than 1 s and was stopped.",
        ),
        (
            "import os, time\nfor _ in range(100):\n  if not os.fork(): time.sleep(60)",
            limited(),
            ReachedLimit.PROCESSES,
            "It needed more than 16 processes and was stopped.",
        ),
    ],
    ids=["memory", "cpu", "time", "processes"],
)
def test_each_limit_ends_a_program_with_its_message(
    code: str, limits: ProgramLimits, reached: ReachedLimit, sentence: str
) -> None:
    begun = time.monotonic()
    done = python(code, limits)
    assert done.reached is reached
    assert done.code != 0
    assert limits.sentence("It", reached) == sentence
    assert time.monotonic() - begun < 20


def test_a_file_cannot_grow_beyond_its_limit(tmp_path: Path) -> None:
    done = run(
        "dd",
        "if=/dev/zero",
        f"of={tmp_path / 'file'}",
        "bs=1M",
        "count=20",
        limits=limited(file_size=5 * MIB),
    )
    assert done.code != 0
    assert (tmp_path / "file").stat().st_size == 5 * MIB


def test_processes_that_a_program_leaves_are_killed() -> None:
    done = run("sh", "-c", "setsid sleep 1234 > /dev/null 2>&1 & echo $!")
    assert not Path(f"/proc/{int(done.stdout)}/exe").exists()


def test_a_process_that_keeps_the_output_open_does_not_block_us() -> None:
    begun = time.monotonic()
    assert run("sh", "-c", "sleep 50 & echo begun").stdout == b"begun\n"
    assert time.monotonic() - begun < 20


def test_too_much_output_ends_the_program() -> None:
    done = asyncio.run(
        running.run(("yes",), environment=ENVIRONMENT, limits=WIDE, team=7, most=1000)
    )
    assert len(done.stdout) == 1000


def test_a_cancelled_command_leaves_nothing(subtrees: list[Path]) -> None:
    async def cancel() -> None:
        task = asyncio.create_task(
            running.run(("sleep", "60"), environment=ENVIRONMENT, limits=WIDE, team=7)
        )
        while not list(groups_in(subtrees)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())


def test_programs_of_one_team_share_its_limit(subtrees: list[Path]) -> None:
    async def two() -> list[Completed]:
        command = (
            sys.executable,
            "-S",
            "-c",
            f"import time; x = bytearray({settings.TEAM_PROGRAMS_MEMORY * 2 // 3}); time.sleep(3)",
        )
        limits = limited(memory=settings.TEAM_PROGRAMS_MEMORY)
        return await asyncio.gather(
            *(
                running.run(command, environment=ENVIRONMENT, limits=limits, team=7)
                for _ in range(2)
            )
        )

    done = asyncio.run(two())
    assert sorted(completed.code for completed in done) == [-9, 0]


def test_without_groups_each_process_is_limited_and_it_is_logged(
    settings: object, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CGROUP = "nowhere/at-all"  # type: ignore[attr-defined]
    assert python("bytearray(3 << 30)").code != 0
    assert python("while True: pass", limited(cpu_seconds=1)).reached is ReachedLimit.CPU
    assert run("sh", "-c", "echo well").stdout == b"well\n"
    assert caplog.text.count("The portal has no control groups at 'nowhere/at-all'") == 1
    confinement.subtree.cache_clear()


AS_THE_PORTAL = """
import subprocess, sys
from portal.programs import groups
from portal.programs.limits import MIB, ProgramLimits, TeamLimits
subtree = groups.find(sys.argv[1])
group = subtree.create(7, ProgramLimits(memory=64 * MIB, cpu_seconds=9, seconds=9, file_size=MIB), TeamLimits(memory=128 * MIB))
enter = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; exec "$@"'
command = ("sh", "-c", enter, "sh", *map(str, group.entrances), "--", sys.executable, "-S", "-c", "bytearray(200 << 20)")
print(subprocess.run(command).returncode, group.reached().value, group.peak() // MIB, group.kill(), group.remove())
"""  # noqa: E501


def test_a_portal_that_is_not_root_limits_its_programs(portal_groups: Cgroups) -> None:
    nobody = 65534
    delegate(portal_groups, nobody, nobody)
    parent = portal_groups.parent
    script = (
        f'for file in {entrances(parent)}; do [ ! -e $file ] || echo 0 > $file; done; exec "$@"'
    )
    rights = (
        "setpriv",
        f"--reuid={nobody}",
        f"--regid={nobody}",
        "--clear-groups",
        "--no-new-privs",
    )
    try:
        done = subprocess.run(
            (
                "sh",
                "-c",
                script,
                "sh",
                *rights,
                sys.executable,
                "-c",
                AS_THE_PORTAL,
                f"{parent}/{PORTAL}",
            ),
            env={
                **ENVIRONMENT,
                "PYTHONPATH": f"{Path(groups.__file__).parents[2]}:{':'.join(sys.path)}",
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
    finally:
        delegate(portal_groups, os.getuid(), os.getgid())
    assert done.stdout.split()[:2] == ["-9", "memory"], done
    assert done.stdout.split()[3:] == ["False", "True"], done
