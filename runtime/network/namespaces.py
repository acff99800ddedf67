"""Network namespaces that a user namespace owns, and functions that run inside them.

A bind mount of nsfs on a file keeps each namespace.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pyroute2 import netns

from runtime import process
from runtime.errors import NetworkRefused
from runtime.kernel import Kernel


def ensure(kernel: Kernel, pin: Path, userns: Path) -> None:
    """Create a network namespace owned by `userns` and pin it to a file.

    Ownership (user_namespaces(7)) lets root inside use ports below 1024, and gives the container
    its own /sys. If the host owned the namespace, the OCI runtime would bind the host's /sys into
    the container.
    """
    pin.parent.mkdir(parents=True, exist_ok=True)
    if is_pinned(pin):
        return
    pin.touch(mode=0o600)
    inward, outward = os.pipe(), os.pipe()
    holder = process.spawn(
        ["nsenter", f"--user={userns}", "unshare", "--net", "cat"],
        stdin=inward[0],
        stdout=outward[1],
        stderr=outward[1],
    )
    try:
        os.close(inward[0])
        os.close(outward[1])
        _write(inward[1], b"\n")  # cat returns it once it runs; then the namespace exists
        said = os.read(outward[0], 4096)
        if said != b"\n":
            raise NetworkRefused(
                f"Could not create a network namespace in {userns}:"
                f" {said.decode(errors='replace').strip() or 'no reason given'}."
            )
        kernel.bind(f"/proc/{holder.pid}/ns/net", pin)
    finally:
        os.close(inward[1])
        os.close(outward[0])
        holder.wait()


def remove(kernel: Kernel, pin: Path) -> None:
    """Unpin a namespace. The kernel removes it with its last process. Succeed if it is absent."""
    while kernel.unmount(pin, lazily=True):
        pass
    pin.unlink(missing_ok=True)


def is_pinned(pin: Path) -> bool:
    """Return whether the file pins a namespace.

    It is then on nsfs, another device than its folder.
    """
    with suppress(FileNotFoundError):
        return pin.stat().st_dev != pin.parent.stat().st_dev
    return False


def inside(pin: Path, work: Callable[[], None]) -> None:
    """Call a function inside a namespace.

    It runs in a new thread, because setns(2) moves the calling thread.
    """
    failures: list[BaseException] = []

    def enter() -> None:
        try:
            with pin.open("rb") as namespace:
                netns.setns(namespace.fileno())
            work()
        except BaseException as failure:  # noqa: BLE001 - carried over to the caller's thread
            failures.append(failure)

    thread = threading.Thread(target=enter, name=f"inside {pin.name}")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _write(fd: int, data: bytes) -> None:
    with suppress(BrokenPipeError):  # it ended already, and its output gives the reason
        os.write(fd, data)
