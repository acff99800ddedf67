"""Server-sent events: their format, and when to read an app's state again (html.spec.whatwg.org,
9.2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from django.http import StreamingHttpResponse

from portal import events

REFRESH_SECONDS = 2.0  # interval of usage samples; also the longest delay after a lost event


def event(name: str, data: str, *, id: str = "") -> str:
    """Format an event. The browser sends `id` back as Last-Event-ID when it reconnects."""
    lines = [f"event: {name}", *(f"data: {line}" for line in data.split("\n"))]
    if id:
        lines.insert(0, f"id: {id}")
    return "\n".join(lines) + "\n\n"


def response(chunks: AsyncGenerator[str, None]) -> StreamingHttpResponse:
    """Return an unbuffered, uncached response. It begins with a comment, so that the browser knows
    that it is connected."""

    async def opened() -> AsyncIterator[str]:
        yield "retry: 1000\n: connected\n\n"
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    return StreamingHttpResponse(
        opened(),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def looks(app_name: str, *, every: float = REFRESH_SECONDS) -> AsyncGenerator[bool, None]:
    """Yield every `every` seconds, forever.

    The value is True if something of the app changed or REFRESH_SECONDS have passed, else False.
    """
    moved = asyncio.Event()
    listener = asyncio.create_task(_listen(app_name, moved))
    clock = asyncio.get_running_loop().time
    looked = -REFRESH_SECONDS
    try:
        while True:
            look = moved.is_set() or clock() - looked >= REFRESH_SECONDS
            if look:
                moved.clear()
                looked = clock()
            yield look
            await moved_within(moved, every)
    finally:
        # repeated because the listener uses `wait_for` itself, see moved_within
        while not listener.done():
            listener.cancel()
            await asyncio.wait([listener], timeout=1)


async def moved_within(moved: asyncio.Event, seconds: float) -> None:
    """Wait for the event, for at most `seconds`.

    This does not use `wait_for`: before Python 3.12 it loses a cancellation that arrives at the
    same time as the event. A stream whose client left at that moment would then continue forever,
    and a portal that stops would wait for it.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await moved.wait()


async def _listen(app_name: str, moved: asyncio.Event) -> None:
    async for _ in events.subscribe(app_name):
        moved.set()
