"""Open uploads: one file each, written as the bytes arrive. So a lost connection or a restart loses
nothing.

The state of an upload is in its file: the name is TEAM-APP-ID, and the size is the received amount.
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

from asgiref.sync import sync_to_async
from django.conf import settings

from portal.apps.models import App
from portal.errors import DiskFull, RegistryRefused
from portal.registry import aliases, blob_store
from portal.registry.names import algorithm_of, digest_of

MOST = 100  # open uploads per team
_BLOCK = 2**20  # bytes per write
_CHECK_EVERY = 16 * 2**20  # bytes between two quota checks
Check = Callable[[], Awaitable[None]]


def begin(app: App) -> str:
    """Begin an upload. Return its id."""
    if (
        sum(path.name.startswith(f"{app.team_id}-") for path in blob_store.UPLOADS.iterdir())
        >= MOST
    ):
        raise RegistryRefused(
            "TOOMANYREQUESTS",
            f"Team {app.team.name} already has {MOST} open uploads.",
            status=429,
            hint="Finish or cancel some of them first. Idle uploads are removed automatically.",
        )
    begun = uuid.uuid4().hex
    _path(app, begun).touch(mode=0o640, exist_ok=False)
    return begun


def size_of(app: App, id: str) -> int:
    """Return the number of received bytes. Raise BLOB_UPLOAD_UNKNOWN if there is no such upload."""
    try:
        return _path(app, id).stat().st_size
    except FileNotFoundError:
        raise _unknown() from None


def cancel(app: App, id: str) -> None:
    """Cancel an upload."""
    try:
        _path(app, id).unlink()
    except FileNotFoundError:
        raise _unknown() from None


async def append(
    app: App, id: str, blocks: AsyncIterator[bytes], *, at: int | None, check: Check
) -> int:
    """Append the received data. Return the new size. Data received before a lost connection is
    kept.

    `at`: the offset that the client gives; the status is 416 if it is not the end of the file.
    `check` may refuse, and is called repeatedly.
    """
    file = _opened(app, id)
    try:
        size = os.fstat(file.fileno()).st_size
        if at is not None and at != size:
            raise RegistryRefused(
                "BLOB_UPLOAD_INVALID",
                f"{size} bytes have been received, so the next chunk begins at {size}, not at"
                f" {at}.",
                status=416,
                headers=_range(size),
            )
        file.seek(size)
        await _write_all(file, blocks, check)
        return file.tell()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        cancel(app, id)  # an upload that cannot be completed need not fill the rest of the disk
        raise DiskFull(
            "The disk of this Slipway is full.",
            hint="Push again when an admin has freed disk space.",
        ) from None
    finally:
        file.close()


async def finish(app: App, id: str, digest: str) -> None:
    """Store the upload as the blob with this digest (hex, by SHA-256 or SHA-512).

    Raise DIGEST_INVALID and delete it if its bytes have another digest."""
    file = _opened(app, id)
    with file:
        wanted = algorithm_of(digest)
        found = await asyncio.to_thread(_synced_digests, file, {"sha256", wanted})
        if found[wanted] != digest:
            cancel(app, id)
            raise RegistryRefused(
                "DIGEST_INVALID",
                f"The received data has the digest {digest_of(found[wanted])}, not"
                f" {digest_of(digest)}.",
                status=400,
                hint="Push again.",
            )
        blob_store.place(_path(app, id), app.team_id, found["sha256"])
    if wanted == "sha512":
        await sync_to_async(aliases.record)(app.team_id, digest, found["sha256"])


def headers_of(size: int) -> dict[str, str]:
    """Return the headers that report the received size."""
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


def _synced_digests(file: BinaryIO, algorithms: set[str]) -> dict[str, str]:
    """Return the hex of the file by each algorithm, in one reading."""
    hashes = {name: hashlib.new(name) for name in algorithms}
    file.seek(0)
    while block := file.read(_BLOCK):
        for digest in hashes.values():
            digest.update(block)
    os.fsync(file.fileno())
    return {name: digest.hexdigest() for name, digest in hashes.items()}


def _opened(app: App, id: str) -> BinaryIO:
    """Open and lock the file: two requests that write to one upload would mix their bytes."""
    try:
        file = _path(app, id).open("r+b")
    except FileNotFoundError:
        raise _unknown() from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise RegistryRefused(
            "BLOB_UPLOAD_INVALID",
            "Another request is writing to this upload.",
            status=409,
            hint="Send the requests one after the other.",
        ) from None
    return file


def _path(app: App, id: str) -> Path:
    try:
        return blob_store.UPLOADS / f"{app.team_id}-{app.pk}-{uuid.UUID(hex=id).hex}"
    except ValueError:
        raise _unknown() from None


def _range(size: int) -> dict[str, str]:
    return {"Range": f"0-{max(size - 1, 0)}"}


def _unknown() -> RegistryRefused:
    return RegistryRefused(
        "BLOB_UPLOAD_UNKNOWN",
        "This upload does not exist.",
        status=404,
        hint="Begin the upload again.",
    )


def _too_large() -> RegistryRefused:
    return RegistryRefused(
        "SIZE_INVALID",
        f"The layer is too large. The limit is {settings.MAX_LAYER // 2**30} GiB.",
        status=413,
        hint="Split the layer into smaller layers.",
    )
