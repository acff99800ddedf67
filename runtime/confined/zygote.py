"""Program that forks confined helpers for the process that started it, in about 3 ms each.

Usage: `python -m runtime.confined.zygote FD`.

It loads all modules of helpers, then replaces the host's file tree, network and IPC by empty ones.
It reads no data of a tenant. It receives a range of ids and descriptors, forks, and writes the id
map of the child's user namespace.
"""

from __future__ import annotations

import codecs
import gc
import importlib
import os
import signal
import socket
import sys

from runtime import syscalls
from runtime.confined import calls, child, wire
from runtime.confined.registry import MODULES
from runtime.confined.wire import Closed, Message
from runtime.syscalls import Namespace
from runtime.team_ids import IDS_PER_TEAM

_ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "ascii", "cp437")
_ANY_FOLDER = "/tmp"  # noqa: S108  # only a place to mount the empty root on, in our own namespace


def main(fd: int) -> None:
    """Serve orders from this socket until its process exits, which closes it.

    PR_SET_PDEATHSIG does not fit here: it depends on the thread that started us, which may end long
    before its process.
    """
    for module in MODULES:
        importlib.import_module(module)
    for name in _ENCODINGS:
        codecs.lookup(name)  # Python loads each at its first use, which fails with an empty root
    program = calls.program()
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    syscalls.unshare(Namespace.MOUNT | Namespace.NETWORK | Namespace.IPC | Namespace.UTS)
    syscalls.empty_root(_ANY_FOLDER)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the host notices a dead helper by its channel
    gc.collect()
    gc.freeze()  # the garbage collector then ignores loaded objects, so children share their memory
    orders = socket.socket(fileno=fd)
    while True:
        try:
            order = wire.receive(orders)
            _fork(order, orders, proc, program)
        except Closed:
            return


def _fork(order: Message, orders: socket.socket, proc: int, program: bytes) -> None:
    """Fork a helper.

    Answer with descriptors of its process and user namespace, or with an error.
    """
    channel, *groups = order.fds
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        orders.close()
        os.close(proc)
        child.run(socket.socket(fileno=channel), theirs, order.body, groups, program)
    theirs.close()
    passed: list[int] = []
    try:
        passed.append(os.pidfd_open(pid))
        if ours.recv(1) != b"?":
            raise OSError("the helper ended before it was confined")
        first = order.body["first_id"]
        for kind in ("uid_map", "gid_map"):
            _write(proc, f"{pid}/{kind}", f"0 {first} {IDS_PER_TEAM}".encode())
        passed.append(os.open(f"{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc))
        ours.send(b"!")
        wire.send(orders, {"pid": pid}, passed)
    except OSError as error:
        wire.send(orders, {"fault": str(error)})
    finally:
        ours.close()
        for fd in (*passed, *order.fds):
            os.close(fd)


def _write(proc: int, name: str, data: bytes) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


if __name__ == "__main__":
    main(int(sys.argv[1]))
