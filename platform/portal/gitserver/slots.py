"""Limit how many pushes and fetches run at the same time. The kernel frees a slot when its last
process has ended.

A slot is one byte of a file, locked through its descriptor (F_OFD_SETLK, fcntl(2)). The programs
inherit the descriptor. So the count is correct with several portal processes, and after a kill.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from django.conf import settings

_LOOK = 0.1  # seconds between two attempts
_BITS = 8  # slots per holder: 256
_FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, process


class SlotKind(IntEnum):
    """The kinds of slots, and their scope."""

    TEAM_OPEN = 1  # pushes that run or wait for their build
    PERSON_OPEN = 2
    TEAM_UNPACKING = 3  # pushes whose data is being read
    PERSON_UNPACKING = 4
    ALL_UNPACKING = 5
    TEAM_FETCHING = 6
    ALL_FETCHING = 7
    REPOSITORY = 8  # shared by all writers; exclusive for the clean-up
    TEAM_PACKING = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most this many slots at the same time for the holder with this number."""

    kind: SlotKind
    holder: int
    most: int
    # one slot that any number of processes may share, but that can also be held exclusively
    is_shared: bool = False


class Slots:
    """Slots that are held together. Pass `descriptors` to the programs that need them, then call
    `release`."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        self.descriptors = tuple(descriptors)
        self._is_open = True

    def free(self) -> None:
        """Free the slots immediately, even if a program has inherited them."""
        if self._is_open:
            for descriptor in self.descriptors:
                fcntl.fcntl(
                    descriptor,
                    fcntl.F_OFD_SETLK,
                    struct.pack(_FLOCK, fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0),
                )
            self.release()

    def release(self) -> None:
        """Close our descriptors. The slots become free when the last program that inherited them
        has ended."""
        if self._is_open:
            self._is_open = False
            for descriptor in self.descriptors:
                os.close(descriptor)


def take(limits: Sequence[Limit]) -> Slots | None:
    """Take one slot of each kind, or none at all."""
    taken: list[int] = []
    for limit in limits:
        descriptor = _take_one(limit)
        if descriptor is None:
            Slots(taken).free()
            return None
        taken.append(descriptor)
    return Slots(taken)


async def wait(limits: Sequence[Limit], *, patience: float) -> Slots | None:
    """Take one slot of each kind as soon as all are free. Return None after `patience` seconds."""
    deadline = asyncio.get_running_loop().time() + patience
    while (slots := take(limits)) is None and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK)
    return slots


def take_alone(repository: int) -> Slots | None:
    """Lock a repository exclusively. Return None if somebody writes to it."""
    try:
        return Slots([_lock(fcntl.F_WRLCK, SlotKind.REPOSITORY, repository, 0)])
    except BlockingIOError:
        return None


def _take_one(limit: Limit) -> int | None:
    for number in range(limit.most):
        try:
            return _lock(
                fcntl.F_RDLCK if limit.is_shared else fcntl.F_WRLCK,
                limit.kind,
                limit.holder,
                number,
            )
        except BlockingIOError:
            continue
    return None


def _lock(how: int, kind: SlotKind, holder: int, number: int) -> int:
    """Open the file again and lock one byte. Raise BlockingIOError if another open file description
    has it."""
    descriptor = os.open(
        Path(settings.RUN) / "pushes.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    start = (kind << 48) | (holder << _BITS) | number
    try:
        fcntl.fcntl(
            descriptor, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, how, os.SEEK_SET, start, 1, 0)
        )
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise BlockingIOError(error.errno, "The slot is taken.") from None
        raise
    return descriptor
