"""Tests of the workers' mount namespace.

They check which parts of the machine are read-only inside, and how long mounts last.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.kernel import Kernel
from runtime.process import Completed, run
from workers.setup import confinement
from workers.setup.tree import ROOT

Inside = Callable[..., Completed]
MACHINES = (
    "/",
    "/etc",
    "/usr",
    "/boot",
    "/root",
    "/home",
    "/opt",
    "/srv",
    "/var",
    "/var/lib",
    "/dev",
    str(ROOT),
    str(ROOT / "workers"),
)
# Setting the owner that a file already has changes nothing. It fails where the file system is
# read-only.
SET_OWNER = (
    "import os, sys; found = os.stat(sys.argv[1]); os.chown(sys.argv[1], found.st_uid,"
    " found.st_gid)"
)


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    config = NodeConfig(state=tmp_path / "state", run=tmp_path / "run")
    for folder in (config.run, *(config.state / name for name in ("db", "secrets", "redis"))):
        folder.mkdir(parents=True)
    return config


@pytest.fixture
def environment(config: NodeConfig) -> dict[str, str]:
    return {**os.environ, "SLIPWAY_STATE": str(config.state), "SLIPWAY_RUN": str(config.run)}


@pytest.fixture
def inside(config: NodeConfig, environment: dict[str, str]) -> Iterator[Inside]:
    """Yield a function that runs a program as a worker runs."""

    def run_inside(*words: str, check: bool = False) -> Completed:
        return run(
            confinement.command(config, ROOT, list(words), rights=["--pdeathsig", "TERM"]),
            env=environment,
            check=check,
        )

    confinement.ensure(config, environment)
    yield run_inside
    confinement.remove(config)
    assert Kernel().mounts_below(config.run) == []


@pytest.mark.parametrize("folder", [folder for folder in MACHINES if Path(folder).is_dir()])
def test_the_machine_cannot_be_changed(inside: Inside, folder: str) -> None:
    tried = inside(sys.executable, "-c", SET_OWNER, folder)
    assert tried.returncode != 0
    assert b"Read-only file system" in tried.stderr


def test_keys_are_read_only_and_rows_are_not(inside: Inside, config: NodeConfig) -> None:
    (config.state / "secrets" / "key").write_text("x")
    assert inside("cat", str(config.state / "secrets" / "key"), check=True).stdout == b"x"
    for name in ("secrets", "redis"):
        assert b"Read-only file system" in inside("touch", str(config.state / name / "new")).stderr
    for folder in (config.state, config.state / "db", config.run):
        inside("touch", str(folder / "new"), check=True)
        assert (folder / "new").exists()


def test_temporary_files_are_not_the_machines(
    inside: Inside, config: NodeConfig, tmp_path: Path
) -> None:
    for folder in ("/tmp", "/var/tmp"):
        inside("touch", f"{folder}/slipway-of-a-test", check=True)
        assert not Path(folder, "slipway-of-a-test").exists()
        assert (config.state / "tmp" / "slipway-of-a-test").exists()
    (tmp_path / "of the machine").touch()
    assert inside("test", "-e", str(tmp_path / "of the machine")).returncode == 1


def test_a_mount_is_there_for_the_next_worker_and_not_for_the_machine(
    inside: Inside, config: NodeConfig
) -> None:
    place = config.state / "disk"
    place.mkdir()
    inside("mount", "-t", "tmpfs", "none", str(place), check=True)
    inside(
        "touch", str(place / "file"), check=True
    )  # another process: the one that mounted has ended
    assert inside("ls", str(place), check=True).stdout == b"file\n"
    assert list(place.iterdir()) == []
    assert Kernel().mounts_below(place) == []


def test_a_second_start_keeps_the_namespace_and_its_mounts(
    inside: Inside, config: NodeConfig, environment: dict[str, str]
) -> None:
    seen = [inside("cat", "/proc/self/mountinfo", check=True).stdout]
    number = inside("readlink", "/proc/self/ns/mnt", check=True).stdout
    confinement.ensure(config, environment)
    seen.append(inside("cat", "/proc/self/mountinfo", check=True).stdout)
    assert seen[1].splitlines() == seen[0].splitlines()
    assert inside("readlink", "/proc/self/ns/mnt", check=True).stdout == number


def test_a_state_folder_on_its_own_disk_is_writable_for_workers(
    config: NodeConfig, environment: dict[str, str]
) -> None:
    kernel = Kernel()
    kernel.mount("tmpfs", config.state, "tmpfs")
    try:
        for name in ("secrets", "redis"):
            (config.state / name).mkdir()
        confinement.ensure(config, environment)
        run(
            confinement.command(
                config, ROOT, ["touch", str(config.state / "new"), "/tmp/temporary"], rights=[]
            ),
            env=environment,
        )
        assert (config.state / "new").exists()
        assert (config.state / "tmp" / "temporary").exists()
    finally:
        confinement.remove(config)
        kernel.unmount(config.state)


def test_workers_hold_only_the_capabilities_that_they_need(inside: Inside) -> None:
    held = inside("setpriv", "--dump", check=True).stdout.decode()
    bounding = next(
        line for line in held.splitlines() if line.startswith("Capability bounding set")
    )
    assert set(bounding.partition(": ")[2].split(",")) == set(confinement.CAPABILITIES)
    assert not {"sys_module", "sys_rawio", "sys_boot", "sys_time", "syslog", "bpf"} & set(
        confinement.CAPABILITIES
    )


def test_an_admins_command_enters_the_namespace_and_keeps_its_folder(
    inside: Inside, config: NodeConfig, environment: dict[str, str]
) -> None:
    code = (
        "import os; from runtime.config import from_environment; from workers.setup import"
        " confinement; config = from_environment();import threading;"
        " threading.Thread(target=threading.Event().wait,"
        " daemon=True).start();confinement.enter(config); assert confinement.is_inside(config);"
        " print(os.readlink('/proc/self/ns/mnt'), os.getcwd())"
    )
    printed = run([sys.executable, "-c", code], env=environment, cwd=ROOT).stdout.decode().split()
    assert printed == [
        inside("readlink", "/proc/self/ns/mnt", check=True).stdout.decode().strip(),
        str(ROOT),
    ]


def test_without_a_namespace_a_command_stays_where_it_is(config: NodeConfig) -> None:
    own = Path("/proc/self/ns/mnt").readlink()
    confinement.enter(config)
    assert not confinement.namespace_exists(config)
    assert not confinement.is_inside(config)
    assert Path("/proc/self/ns/mnt").readlink() == own
