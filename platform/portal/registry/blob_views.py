"""Views of blobs: download all or a part, and push in one request or several (distribution-spec,
"Pulling blobs", "Pushing Blobs")."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from portal.apps.models import App
from portal.errors import RegistryRefused
from portal.http.request_bodies import blocks_of
from portal.registry import uploads
from portal.registry.access import blob_path, has_blob
from portal.registry.actions import check_upload
from portal.registry.credentials import repository_of
from portal.registry.deletion import delete_blob
from portal.registry.names import hex_of
from portal.registry.responses import for_registry_clients, is_unchanged

_BLOCK = 2**18
_ONE_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})")
_CHUNK = re.compile(r"(?:bytes )?([0-9]{1,19})-([0-9]{1,19})(?:/.*)?")


async def _read(request: HttpRequest, team: str, app: str, digest: str) -> HttpResponseBase:
    _, found = await sync_to_async(repository_of)(request, team, app)
    _, path = await sync_to_async(blob_path)(found, digest)
    if is_unchanged(request, digest):
        return HttpResponse(status=304, headers={"ETag": f'"{digest}"'})
    size = path.stat().st_size
    first, last = _wanted(request.headers.get("Range", ""), size)
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(last - first + 1),
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
    }
    partial_content = (first, last) != (0, size - 1)
    if partial_content:
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    status = 206 if partial_content else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    return StreamingHttpResponse(_blocks(path, first, last), status=status, headers=headers)


async def _delete(request: HttpRequest, team: str, app: str, digest: str) -> HttpResponseBase:
    person, found = await sync_to_async(repository_of)(request, team, app)
    await sync_to_async(delete_blob)(person, app=found, digest=hex_of(digest))
    return HttpResponse(status=202)


async def _begin(request: HttpRequest, team: str, app: str) -> HttpResponseBase:
    """Begin an upload. It ends in the same request if the whole blob is included or a mount finds
    it here."""
    person, found = await sync_to_async(repository_of)(request, team, app)
    if (mounted := request.GET.get("mount")) and await sync_to_async(has_blob)(found, mounted):
        return _created(found, mounted)
    await sync_to_async(check_upload)(person, found)
    digest = request.GET.get("digest")
    wanted = hex_of(digest) if digest else ""
    begun = uploads.begin(found)
    if digest:
        await uploads.append(
            found,
            begun,
            blocks_of(request),
            at=None,
            check=partial(sync_to_async(check_upload), person, found),
        )
        await uploads.finish(found, begun, wanted)
        return _created(found, digest)
    return _under_way(found, begun, 0, status=202)


async def _report_progress(request: HttpRequest, team: str, app: str, id: str) -> HttpResponseBase:
    _, found = await sync_to_async(repository_of)(request, team, app)
    return _under_way(found, id, uploads.size_of(found, id), status=204)


async def _append(request: HttpRequest, team: str, app: str, id: str) -> HttpResponseBase:
    person, found = await sync_to_async(repository_of)(request, team, app)
    check = partial(sync_to_async(check_upload), person, found)
    await check()
    size = await uploads.append(found, id, blocks_of(request), at=_beginning(request), check=check)
    return _under_way(found, id, size, status=202)


async def _finish(request: HttpRequest, team: str, app: str, id: str) -> HttpResponseBase:
    person, found = await sync_to_async(repository_of)(request, team, app)
    digest = request.GET.get("digest", "")
    wanted = hex_of(digest)
    check = partial(sync_to_async(check_upload), person, found)
    await uploads.append(found, id, blocks_of(request), at=_beginning(request), check=check)
    await uploads.finish(found, id, wanted)
    return _created(found, digest)


async def _cancel(request: HttpRequest, team: str, app: str, id: str) -> HttpResponseBase:
    _, found = await sync_to_async(repository_of)(request, team, app)
    uploads.cancel(found, id)
    return HttpResponse(status=204)


blob = for_registry_clients(GET=_read, HEAD=_read, DELETE=_delete)
begin = for_registry_clients(POST=_begin)
upload = for_registry_clients(GET=_report_progress, PATCH=_append, PUT=_finish, DELETE=_cancel)


def _created(app: App, digest: str) -> HttpResponse:
    location = f"/v2/{app.team.name}/{app.name}/blobs/{digest}"
    return HttpResponse(status=201, headers={"Location": location, "Docker-Content-Digest": digest})


def _under_way(app: App, id: str, size: int, *, status: int) -> HttpResponse:
    location = f"/v2/{app.team.name}/{app.name}/blobs/uploads/{id}"
    return HttpResponse(
        status=status,
        headers={"Location": location, "Docker-Upload-UUID": id, **uploads.headers_of(size)},
    )


def _beginning(request: HttpRequest) -> int | None:
    """Return the offset of a chunk. Raise BLOB_UPLOAD_INVALID if its range is malformed or does not
    match the length."""
    text = request.headers.get("Content-Range", "")
    if not text:
        return None
    match = _CHUNK.fullmatch(text.strip())
    length = request.headers.get("Content-Length", "")
    if match is None or (length.isdecimal() and int(match[2]) - int(match[1]) + 1 != int(length)):
        raise RegistryRefused(
            "BLOB_UPLOAD_INVALID",
            f"{text[:60]!r} is not the range of the received data.",
            status=416,
            hint="Use the form FIRST-LAST.",
        )
    return int(match[1])


def _wanted(text: str, size: int) -> tuple[int, int]:
    """Return the first and last byte to send (RFC 9110, 14.2).

    A malformed range or several ranges are ignored, as the RFC allows. A range beyond the end is
    refused with 416.
    """
    match = _ONE_RANGE.fullmatch(text.strip())
    if match is None or not (match[1] or match[2]):
        return 0, size - 1
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
        if match[2] and int(match[2]) < int(match[1]):
            return 0, size - 1
    else:
        first, last = max(size - int(match[2]), 0), size - 1
    if first > last:
        raise RegistryRefused(
            "SIZE_INVALID",
            f"The blob has {size} bytes.",
            status=416,
            headers={"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"},
        )
    return first, last


async def _blocks(path: Path, first: int, last: int) -> AsyncIterator[bytes]:
    """Read blocks in a thread: a layer may be on a slow disk."""
    with path.open("rb") as file:
        file.seek(first)
        left = last - first + 1
        while left > 0 and (block := await asyncio.to_thread(file.read, min(_BLOCK, left))):
            left -= len(block)
            yield block
