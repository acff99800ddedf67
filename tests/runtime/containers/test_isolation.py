"""Tests of a container's view and rights, each measured inside a real container."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.containers.container import Exit
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import Bind, ContainerSpec, Purpose
from tests.runtime.containers.conftest import LIMITS, settle

Output = Callable[..., tuple[Exit, list[str]]]
Spec = Callable[..., ContainerSpec]

DEVICES = {
    "core",
    "fd",
    "full",
    "init",
    "mqueue",
    "null",
    "ptmx",
    "pts",
    "random",
    "shm",
    "stderr",
    "stdin",
    "stdout",
    "tty",
    "urandom",
    "zero",
}
CALLS_REFUSED = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def refused(name, *arguments):
    ctypes.set_errno(0)
    result = getattr(libc, name)(*arguments)
    print(name, "refused" if result < 0 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS) else f"ALLOWED {result}")
for flag in (0x10000000, 0x20000, 0x40000000, 0x10000000 | 0x20000):
    refused("unshare", flag)
refused("syscall", 56, 0x10000000 | 17, 0, 0, 0, 0)
refused("syscall", 435, b"\\0" * 88, 88)
refused("mount", b"none", b"/tmp", b"tmpfs", 0, None)
refused("syscall", 428, -100, b"/", 1)
refused("setns", os.open("/proc/self/ns/net", 0), 0)
refused("syscall", 321, 0, b"\\0" * 64, 64)
"""  # noqa: E501


def test_init_is_process_1_and_no_process_of_the_host_is_visible(output: Output) -> None:
    ended, lines = output("sh", "-c", "cat /proc/1/cmdline; echo; ls -d /proc/[0-9]*")
    assert ended.code == 0, lines
    assert lines[0].startswith("/dev/init")
    assert len(lines[1:]) <= 3  # init, the shell, ls


def test_a_container_is_not_root_and_its_ids_are_in_the_range_of_its_team(
    containers: Containers, spec: Spec
) -> None:
    wanted = spec("sleep", "60", team=3)
    pid = containers.launch(wanted).pid
    settle(
        lambda: (
            b"sleep"
            in b"".join(Path(f"/proc/{child}/cmdline").read_bytes() for child in _children(pid))
        ),
        30,
    )
    for process in (pid, *_children(pid)):
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{process}/status").read_text().splitlines()
        )
        assert {int(word) for word in status["Uid"].split()} == {wanted.first_id + 1000}
        assert {int(word) for word in status["Gid"].split()} == {wanted.first_id + 1000}
        assert status["Groups"].split() in ([], [str(wanted.first_id + 1000)])


def test_a_container_has_and_gains_no_capabilities_and_is_filtered(output: Output) -> None:
    _, lines = output("grep", "-E", "^(Cap|NoNewPrivs|Seccomp):?", "/proc/self/status")
    facts = dict(line.split(":\t") for line in lines if ":\t" in line)
    assert {
        name: value for name, value in facts.items() if name.startswith("Cap")
    } == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16)
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"


def test_new_namespaces_and_mounts_are_refused_even_for_root_of_a_build(output: Output) -> None:
    for changes in ({}, {"uid": 0, "gid": 0, "purpose": Purpose.BUILD}):
        ended, lines = output("python3", "-c", CALLS_REFUSED, **changes)
        assert ended.code == 0, lines
        assert [line for line in lines if not line.endswith("refused")] == []
        assert len(lines) == 10


def test_threads_and_children_work_under_the_filter(output: Output) -> None:
    program = (
        "import threading, subprocess, os\nt = threading.Thread(target=print, args=('thread',));"
        " t.start(); t.join()\n"
    )
    program += (
        "print(subprocess.run(['sh', '-c', 'echo child'], capture_output=True,"
        " text=True).stdout.strip())"
    )
    assert output("python3", "-c", program)[1] == ["thread", "child"]


def test_kernel_files_are_read_only(output: Output) -> None:
    script = (
        "for f in /sys/kernel/uevent_seqnum /proc/sys/kernel/hostname /proc/sysrq-trigger; do (echo"
        " 1 > $f) 2>/dev/null && echo wrote $f; done"
    )
    for changes in ({}, {"uid": 0, "gid": 0, "purpose": Purpose.BUILD}):
        ended, lines = output(
            "sh", "-c", f"{script}; mkdir /sys/x 2>/dev/null && echo made; true", **changes
        )
        assert (ended.code, lines) == (0, [])


def test_only_harmless_devices_exist(output: Output) -> None:
    _, lines = output("ls", "/dev")
    assert set(lines) <= DEVICES


def test_without_a_network_there_is_only_an_own_loopback(output: Output) -> None:
    program = (
        "import os, socket; s = socket.create_server(('127.0.0.1', 80));"
        " socket.create_connection(('127.0.0.1', 80)); "
    )
    program += "print(sorted(os.listdir('/sys/class/net')))"
    ended, lines = output("python3", "-c", program)
    assert ended.code == 0, lines
    assert lines == ["['lo']"]


def test_a_container_has_its_own_names(output: Output, spec: Spec) -> None:
    wanted = spec(
        "sh",
        "-c",
        "cat /etc/hostname /proc/sys/kernel/hostname /etc/hosts; grep -c nameserver"
        " /etc/resolv.conf",
    )
    ended, lines = output(*wanted.command, id="shop-web-1")
    assert ended.code == 0, lines
    assert lines[:2] == ["shop-web-1", "shop-web-1"]
    assert lines[2].split() == ["127.0.0.1", "localhost"]
    assert not any(line.startswith(os.uname().nodename) for line in lines)


def test_tmp_and_shared_memory_are_writable_and_image_files_are_not_owned(output: Output) -> None:
    ended, lines = output(
        "sh",
        "-c",
        "echo a > /tmp/a; echo b > /dev/shm/b; cat /tmp/a /dev/shm/b; echo x > /word || echo"
        " refused",
    )
    assert {"a", "b", "refused"} <= set(lines)
    assert ended.code == 0, lines


def test_binds_are_read_only_by_default(output: Output, place: Path, spec: Spec) -> None:
    shared, own = place / "shared", place / "own"
    for folder in (shared, own):
        folder.mkdir()
    (shared / "file").write_text("shared\n")
    os.chown(own, spec().first_id + 1000, spec().first_id + 1000)
    binds = (Bind(source=shared, target="/shared"), Bind(source=own, target="/own", writable=True))
    _, lines = output(
        "sh",
        "-c",
        "cat /shared/file; echo x > /shared/y || echo refused; echo z > /own/z && echo written",
        binds=binds,
    )
    assert {"shared", "refused", "written"} <= set(lines)
    assert (own / "z").read_text() == "z\n"
    assert not (shared / "y").exists()


def test_open_files_and_core_dumps_are_limited(output: Output) -> None:
    _, lines = output(
        "python3",
        "-c",
        "import resource as r; print(*r.getrlimit(r.RLIMIT_CORE), r.getrlimit(r.RLIMIT_NOFILE)[1]"
        " >= 1024)",
    )
    assert lines == ["0 0 True"]


@pytest.mark.skipif(
    not Path("/sys/fs/cgroup/cgroup.controllers").exists(), reason="version 1 is not shown inside"
)
def test_a_container_reads_its_limits_and_cannot_raise_them(output: Output) -> None:
    _, lines = output(
        "sh",
        "-c",
        "cat /sys/fs/cgroup/memory.max /proc/self/cgroup; (echo max > /sys/fs/cgroup/memory.max)"
        " 2>/dev/null || echo refused",
    )
    assert lines == [str(int(LIMITS.memory)), "0::/", "refused"]


def _children(pid: int | None) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
