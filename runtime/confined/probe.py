"""Probe of what a confined helper can see and do: for the tests of confinement."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from runtime import syscalls
from runtime.confined.registry import confined
from runtime.syscalls import Namespace
from runtime.trees.folder import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class HelperAccess:
    """The result of a probe in one helper."""

    uid: int
    root: tuple[str, ...]  # names in "/"
    possible: tuple[str, ...]  # forbidden actions that succeeded


@confined
def look(others: Folder) -> HelperAccess:
    """Try actions that must fail in a helper. `others`: a tree that it received read-only."""
    actions: dict[str, Callable[[], object]] = {
        "open /proc/self/status": lambda: os.open("/proc/self/status", os.O_RDONLY),
        "open /etc/passwd": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "write in /": lambda: os.open("/x", os.O_WRONLY | os.O_CREAT),
        "leave the tree": lambda: others.status("../x"),
        "open the parent of the tree": lambda: os.open("../etc", os.O_RDONLY, dir_fd=others.fd),
        "write in a read-only tree": lambda: others.write_file("x", b""),
        "make a socket": lambda: socket.socket(socket.AF_INET),
        "start a process": os.fork,
        "run a program": lambda: os.execv("/bin/sh", ["sh"]),  # noqa: S606  # must fail
        "leave its namespace": lambda: syscalls.unshare(Namespace.USER),
        "mount": lambda: syscalls.empty_root("/"),
        "signal another process": lambda: os.kill(1, 0),
        "become another user": lambda: os.setresuid(1, 1, 1),
        "make a device": lambda: os.mknod("x", 0o60600, os.makedev(7, 0), dir_fd=others.fd),
    }
    possible = []
    for name, action in actions.items():
        try:
            action()
        except (OSError, ValueError):
            continue
        possible.append(name)
    return HelperAccess(uid=os.getuid(), root=tuple(os.listdir("/")), possible=tuple(possible))


@confined
def wait_for(pipe: BinaryIO) -> int:
    """Wait for a byte from a pipe. Return how many bytes came."""
    return len(pipe.read(1))


@confined
def hold(size: int) -> int:
    """Allocate this many bytes of memory."""
    return len(bytearray(size))
