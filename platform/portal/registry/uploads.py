"""Uploads under way: one file each, written as the bytes arrive, so that a lost connection or a restart loses nothing.

An upload's name is its whole state: TEAM-APP-ID, and how much of it is there is the file's size.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from portal.apps.models import App
from portal.errors import NoRoom, RegistryRefused
from portal.registry import shelf

MOST = 100  # under way at once, of one team
_BLOCK = 2**20  # bytes written at once
_CHECK_EVERY = 16 * 2**20  # bytes between two looks at what the team may have
Check = Callable[[], Awaitable[None]]


def begin(app: App) -> str:
    """Begin one; its id."""
    if sum(path.name.startswith(f"{app.team_id}-") for path in shelf.UPLOADS.iterdir()) >= MOST:
        raise RegistryRefused(
            "TOOMANYREQUESTS",
            f"Team {app.team.name} has {MOST} uploads under way.",
            status=429,
            hint="End some first; idle ones end by themselves.",
        )
    begun = uuid.uuid4().hex
    _path(app, begun).touch(mode=0o640, exist_ok=False)
    return begun


def size_of(app: App, id: str) -> int:
    """How many bytes have arrived. BLOB_UPLOAD_UNKNOWN: there is no such upload."""
    try:
        return _path(app, id).stat().st_size
    except FileNotFoundError:
        raise _unknown() from None


def cancel(app: App, id: str) -> None:
    """Give it up."""
    try:
        _path(app, id).unlink()
    except FileNotFoundError:
        raise _unknown() from None


async def append(app: App, id: str, blocks: AsyncIterator[bytes], *, at: int | None, check: Check) -> int:
    """Write what arrives behind what is there; the size afterwards. What came before a connection was lost stays.

    `at`: where the client says that its bytes begin; 416 where that is not the end. `check` may refuse, and is asked again and again.
    """
    file = _opened(app, id)
    try:
        size = os.fstat(file.fileno()).st_size
        if at is not None and at != size:
            raise RegistryRefused(
                "BLOB_UPLOAD_INVALID",
                f"{size} bytes are here, so the next begins at {size}, not at {at}.",
                status=416,
                headers=_range(size),
            )
        file.seek(size)
        await _write_all(file, blocks, check)
        return file.tell()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        cancel(app, id)  # what cannot be finished need not take the last of the disk
        raise NoRoom("The disk of this Slipway is full.", hint="Push again when its admin has made room.") from None
    finally:
        file.close()


async def finish(app: App, id: str, digest: str) -> None:
    """Keep it as the blob with this digest (hex). DIGEST_INVALID: its bytes have another, and it is gone."""
    file = _opened(app, id)
    with file:
        found = await asyncio.to_thread(_synced_digest, file)
        if found != digest:
            cancel(app, id)
            raise RegistryRefused(
                "DIGEST_INVALID", f"What came has the digest sha256:{found}, not sha256:{digest}.", status=400, hint="Push again."
            )
        shelf.place(_path(app, id), app.team_id, digest)


def headers_of(size: int) -> dict[str, str]:
    """How an answer tells how much is here."""
    return _range(size)


async def _write_all(file: BinaryIO, blocks: AsyncIterator[bytes], check: Check) -> None:
    waiting, checked = bytearray(), file.tell()
    try:
        async for block in blocks:
            waiting += block
            if len(waiting) >= _BLOCK:
                await asyncio.to_thread(_write, file, waiting)
                waiting = bytearray()
                if file.tell() > settings.MAX_LAYER:
                    raise _too_large()
                if file.tell() - checked >= _CHECK_EVERY:
                    checked = file.tell()
                    await check()
    finally:
        await asyncio.to_thread(_write, file, waiting)
    if file.tell() > settings.MAX_LAYER:
        raise _too_large()
    await check()


def _write(file: BinaryIO, data: bytes | bytearray) -> None:
    file.write(data)
    file.flush()


def _synced_digest(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # typeshed wants readinto of an open buffer
    os.fsync(file.fileno())
    return digest


def _opened(app: App, id: str) -> BinaryIO:
    """Held alone: two requests that write to one upload would mix their bytes."""
    try:
        file = _path(app, id).open("r+b")
    except FileNotFoundError:
        raise _unknown() from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise RegistryRefused(
            "BLOB_UPLOAD_INVALID", "Another request writes to this upload.", status=409, hint="Send one after the other."
        ) from None
    return file


def _path(app: App, id: str) -> Path:
    try:
        return shelf.UPLOADS / f"{app.team_id}-{app.pk}-{uuid.UUID(hex=id).hex}"
    except ValueError:
        raise _unknown() from None


def _range(size: int) -> dict[str, str]:
    return {"Range": f"0-{max(size - 1, 0)}"}


def _unknown() -> RegistryRefused:
    return RegistryRefused("BLOB_UPLOAD_UNKNOWN", "There is no such upload.", status=404, hint="Begin it again.")


def _too_large() -> RegistryRefused:
    return RegistryRefused(
        "SIZE_INVALID", f"A layer may have {settings.MAX_LAYER // 2**30} GiB.", status=413, hint="Make the image of smaller layers."
    )
