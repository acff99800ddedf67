"""Send files as responses, read block by block without blocking the event loop.

Django's FileResponse is a synchronous iterator. Under ASGI, Django reads all of it into a list
before it sends the first byte (docs.djangoproject.com, "StreamingHttpResponse"). An archive of two
gigabytes would need as much memory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import BinaryIO

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header

from portal.plaintext import printable

_BLOCK = 2**18
_LONGEST = 2**20  # of a line without an end; it is sent in parts of about this size


def file_response(path: Path, *, filename: str, content_type: str) -> StreamingHttpResponse:
    """Send a file unchanged, as a download with this name. Raise FileNotFoundError if it does not
    exist."""
    file = path.open("rb")
    headers = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
    return _response(_blocks(file), filename, content_type, headers)


def log_response(path: Path, *, filename: str) -> StreamingHttpResponse:
    """Send a log as printable text, as a download with this name. Raise FileNotFoundError if it
    does not exist."""
    return _response(
        _printable_lines(_blocks(path.open("rb"))), filename, "text/plain; charset=utf-8", {}
    )


def text_response(lines: Iterable[str], *, filename: str) -> StreamingHttpResponse:
    """Send lines as printable text, as a download with this name."""
    content = _printable_lines(_encoded(lines))
    return _response(content, filename, "text/plain; charset=utf-8", {})


async def _encoded(lines: Iterable[str]) -> AsyncIterator[bytes]:
    for line in lines:
        yield f"{line}\n".encode()


def _response(
    content: AsyncIterator[bytes], filename: str, content_type: str, headers: dict[str, str]
) -> StreamingHttpResponse:
    disposition = content_disposition_header(as_attachment=True, filename=filename) or "attachment"
    return StreamingHttpResponse(
        content, content_type=content_type, headers={"Content-Disposition": disposition, **headers}
    )


async def _blocks(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while block := await asyncio.to_thread(file.read, _BLOCK):
            yield block


async def _printable_lines(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        if lines:
            yield b"".join(_printable(line) + b"\n" for line in lines)
        if len(rest) > _LONGEST:
            yield _printable(rest)
            rest = b""
    if rest:
        yield _printable(rest)


def _printable(line: bytes) -> bytes:
    return printable(line.decode(errors="replace")).encode()
