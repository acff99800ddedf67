"""Network namespaces that belong to a user namespace, kept by a file each (a bind mount of nsfs), and work inside them."""

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
    """Make a network namespace owned by `userns` and pin it.

    Owned by it (user_namespaces(7)), because then root inside may set up ports below 1024 and the container gets a /sys of
    its own; with one that the host owns, the OCI runtime falls back on binding the host's /sys into the container.
    """
    pin.parent.mkdir(parents=True, exist_ok=True)
    if is_pinned(pin):
        return
    pin.touch(mode=0o600)
    inward, outward = os.pipe(), os.pipe()
    holder = process.spawn(
        ["nsenter", f"--user={userns}", "unshare", "--net", "cat"], stdin=inward[0], stdout=outward[1], stderr=outward[1]
    )
    try:
        os.close(inward[0])
        os.close(outward[1])
        _write(inward[1], b"\n")  # cat gives it back once it runs, and then the namespace is there
        said = os.read(outward[0], 4096)
        if said != b"\n":
            raise NetworkRefused(
                f"No network namespace could be made in {userns}: {said.decode(errors='replace').strip() or 'no reason given'}."
            )
        kernel.bind(f"/proc/{holder.pid}/ns/net", pin)
    finally:
        os.close(inward[1])
        os.close(outward[0])
        holder.wait()


def remove(kernel: Kernel, pin: Path) -> None:
    """Let go of a namespace; the kernel ends it with its last process. Succeeds where there is none."""
    while kernel.unmount(pin, lazily=True):
        pass
    pin.unlink(missing_ok=True)


def is_pinned(pin: Path) -> bool:
    """Whether the file holds a namespace: then it lies on nsfs, another device than its folder."""
    with suppress(FileNotFoundError):
        return pin.stat().st_dev != pin.parent.stat().st_dev
    return False


def inside(pin: Path, work: Callable[[], None]) -> None:
    """Do something in a namespace: by a thread of its own, which ends there, so that nobody else is moved (setns(2))."""
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
    with suppress(BrokenPipeError):  # it ended already, and its words tell why
        os.write(fd, data)
