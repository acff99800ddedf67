"""Tests of container escapes.

A real program tries each one as an app and as root of a build step, next to a container of another
team.
"""

from __future__ import annotations

import platform
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.containers.container import Exit
from runtime.containers.lifecycle import Containers
from runtime.containers.spec import ContainerSpec, Purpose
from tests.runtime.containers.conftest import printed, settle

Output = Callable[..., tuple[Exit, list[str]]]
Spec = Callable[..., ContainerSpec]

PROGRAM = (Path(__file__).parent / "programs/escapes.py").read_text()
ROLES: dict[str, dict[str, object]] = {
    "app": {},
    "build step": {"uid": 0, "gid": 0, "purpose": Purpose.BUILD},
}
LISTEN = (
    "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('\\0theirs'); s.listen();"
    " print('listens', flush=True); time.sleep(300)"
)
TALK = """
import socket
for family in (socket.AF_INET, socket.AF_INET6):
    try:
        server = socket.create_server(("" if family == socket.AF_INET else "::", 0), family=family)
        print("serves", family.name)
    except OSError as error:
        print("serves", family.name, error)
a, b = socket.socketpair()
a.send(b"x")
print("pair", b.recv(1))
with socket.socket(socket.AF_UNIX) as local:
    local.bind("/tmp/own")
print("interfaces", socket.if_nameindex())
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as route:
    print("route socket")
"""
# mov eax, number; xor ebx, ebx; int 0x80; ret: a system call of a 32-bit program
CALL_32 = """
import ctypes, mmap, sys
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\\xb8" + int(sys.argv[1]).to_bytes(4, "little") + b"\\x53\\x31\\xdb\\xcd\\x80\\x5b\\xc3")
result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
print("ALLOWED", result)
"""  # noqa: E501


@pytest.mark.parametrize("role", ROLES)
def test_every_way_out_is_refused(
    containers: Containers, spec: Spec, output: Output, role: str
) -> None:
    victim = spec("python3", "-c", LISTEN, team=2)
    pid = containers.launch(victim).pid
    settle(lambda: printed(containers, victim.id) == ["listens"], 30)
    ended, lines = output("python3", "-c", PROGRAM, str(pid), "theirs", **ROLES[role])
    assert ended.code == 0, lines
    assert int(lines[-1].removeprefix("tried ")) == len(lines) - 1 > 120
    assert [line for line in lines[:-1] if " refused " not in line] == []
    # EFAULT, EINVAL or EBADF mean that the kernel checked the arguments, so the sandbox did not
    # refuse the call.
    looked_at = [
        line
        for line in lines
        if line.startswith(("call_", "mount_")) and line.endswith(("EFAULT", "EINVAL", "EBADF"))
    ]
    assert looked_at == []
    families = {
        line.split()[0]: line.split()[-1]
        for line in lines
        if line.startswith(("socket_vsock", "socket_alg", "socket_wide"))
    }
    assert set(families.values()) == {"EAFNOSUPPORT"}, families
    state = containers.state(victim.id)
    assert state is not None
    assert state.pid == pid


@pytest.mark.parametrize("role", ROLES)
def test_sockets_that_apps_use_still_work(output: Output, role: str) -> None:
    ended, lines = output("python3", "-c", TALK, **ROLES[role])
    assert ended.code == 0, lines
    assert lines[0] == "serves AF_INET"
    assert "pair b'x'" in lines
    assert "interfaces [(1, 'lo')]" in lines
    assert lines[-1] == "route socket"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86 has socketcall")
def test_a_32_bit_system_call_ends_the_process(output: Output) -> None:
    for number in (20, 102):  # getpid, socketcall
        ended, lines = output("python3", "-c", CALL_32, str(number))
        assert ended.signal == signal.SIGSYS, (ended, lines)


def test_the_number_of_terminals_of_a_container_is_limited(output: Output) -> None:
    program = (
        "import os\nn = 0\ntry:\n    while True:\n        os.open('/dev/ptmx', os.O_RDWR); n +="
        " 1\nexcept OSError as error: print(n, error.strerror)"
    )
    ended, lines = output("python3", "-c", program)
    assert ended.code == 0, lines
    assert lines == ["64 No space left on device"]
