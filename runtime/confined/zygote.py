"""`python -m runtime.confined.zygote FD`: forks confined helpers, each in some three milliseconds, for the process that started it.

It loads all that helpers run, then leaves the host's file tree, network and IPC for empty ones. It reads no byte of a tenant's: it
hears the number of a range of ids and descriptors, forks, and writes the map of ids of the child's user namespace.
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

_IDS = 65_536
_ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "ascii", "cp437")
_ANY_FOLDER = "/tmp"  # noqa: S108  # only a place to mount the empty root on, in a namespace of our own


def main(fd: int) -> None:
    """Serve orders from this socket until it is closed, as it is when its process ends.

    PR_SET_PDEATHSIG would not do here: it speaks of the thread that started us, and that may end long before its process.
    """
    for module in MODULES:
        importlib.import_module(module)
    for name in _ENCODINGS:
        codecs.lookup(name)  # Python loads each when it is first used, which an empty root does not let it
    program = calls.program()
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    syscalls.unshare(Namespace.MOUNT | Namespace.NETWORK | Namespace.IPC | Namespace.UTS)
    syscalls.empty_root(_ANY_FOLDER)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # a dead helper's host sees it by its channel
    gc.collect()
    gc.freeze()  # what is loaded is never looked at again, so children share its memory
    orders = socket.socket(fileno=fd)
    while True:
        try:
            order = wire.receive(orders)
            _fork(order, orders, proc, program)
        except Closed:
            return


def _fork(order: Message, orders: socket.socket, proc: int, program: bytes) -> None:
    """One helper; its process and its user namespace are answered as descriptors, or what went wrong as text."""
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
            _write(proc, f"{pid}/{kind}", f"0 {first} {_IDS}".encode())
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
