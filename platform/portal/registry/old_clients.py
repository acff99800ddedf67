"""Serve images with gzip layers to clients that cannot unpack zstd: Docker before 23.

The copy has another digest than the release's image, so it is only the answer to a tag. A digest
always names the same bytes. A worker makes the copy when it is first pulled.
"""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

from asgiref.sync import sync_to_async

from portal.accounts.models import Person
from portal.apps.models import App
from portal.errors import RegistryRefused
from portal.queue import Task, enqueue
from portal.registry import actions, blob_store, manifests
from portal.releases.access import kept_releases

ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
PATIENCE = 45.0  # seconds that a request waits for a copy; shorter than the router's timeout
_POLL_SECONDS = 0.25
_ordered: dict[str, float] = {}  # APP/IMAGE -> when this process ordered the copy
# The first versions that unpack zstd (their release notes).
_CLIENT = re.compile(r"^(docker|containerd)/v?(\d+)\.(\d+)", re.IGNORECASE)
_UNPACK_ZSTD = {"docker": (23, 0), "containerd": (1, 5)}


def needs_gzip(user_agent: str) -> bool:
    """Return whether a client is known to be unable to unpack zstd. Pure."""
    match = _CLIENT.match(user_agent)
    if match is None:
        return False
    return (int(match[2]), int(match[3])) < _UNPACK_ZSTD[match[1].lower()]


async def manifest_for(
    person: Person, app: App, path: Path, *, patience: float = PATIENCE
) -> tuple[str, Path]:
    """Return the hex and file of the manifest to serve instead of `path` to an old client.

    It is `path` itself if its layers are not zstd, or its image is not published yet. Raise
    TOOMANYREQUESTS if a copy is still being made, and QuotaExceeded if the team has no disk for it.
    """
    size = _size_of_zstd(path)
    folder = path.parent
    if not size or folder.parent.parent != blob_store.SERVED:
        return path.name, path
    if copy := blob_store.gzip_copy(folder):
        return copy.name, copy
    await sync_to_async(actions.check_upload)(person, app, more=size)
    if _is_new_order(f"{app.pk}/{folder.name}", time.monotonic()):
        await sync_to_async(_order)(app, folder.name)
    for _ in range(int(patience / _POLL_SECONDS)):
        await asyncio.sleep(_POLL_SECONDS)
        if copy := blob_store.gzip_copy(folder):
            return copy.name, copy
    raise RegistryRefused(
        "TOOMANYREQUESTS",
        "The layers of the image are being compressed for this version of Docker.",
        status=429,
        hint="Pull again in a minute. Docker 23 and later does not need this.",
        headers={"Retry-After": "60"},
    )


def _is_new_order(key: str, now: float) -> bool:
    """Return whether this process has not ordered the copy lately: many pulls need one task."""
    for old in [other for other, moment in _ordered.items() if now - moment > PATIENCE]:
        del _ordered[old]
    return _ordered.setdefault(key, now) == now


def _order(app: App, image: str) -> None:
    """Queue the copy of a release's image. `image` is the hex of its digest."""
    release = next(
        (found for found in kept_releases(app) if found.image == f"sha256:{image}"), None
    )
    if release is not None:
        enqueue(Task.MAKE_GZIP_COPY, release.pk)


def _size_of_zstd(path: Path) -> int:
    """Return the bytes of the layers that are compressed with zstd. 0 for an index and others."""
    if path.stat().st_size > manifests.LARGEST:
        return 0
    try:
        document = manifests.parse(path.read_bytes())
    except RegistryRefused:
        return 0
    return sum(layer.size for layer in document.layers if layer.media_type == ZSTD)
