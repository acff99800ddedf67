"""Server-sent events: how one looks on the wire, and when to look at an app again (html.spec.whatwg.org, 9.2)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

from django.http import StreamingHttpResponse

from portal.activity import events

REFRESH_SECONDS = 2.0  # how often usage is sampled; also what a lost event costs


def event(name: str, data: str, *, id: str = "") -> str:
    """One event. `id` is what the browser sends back as Last-Event-ID when it reconnects."""
    lines = [f"event: {name}", *(f"data: {line}" for line in data.split("\n"))]
    if id:
        lines.insert(0, f"id: {id}")
    return "\n".join(lines) + "\n\n"


def response(chunks: AsyncGenerator[str, None]) -> StreamingHttpResponse:
    """Unbuffered and uncached. Begins with a comment, so that the browser knows at once that it is connected."""

    async def opened() -> AsyncIterator[str]:
        yield "retry: 1000\n: connected\n\n"
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    return StreamingHttpResponse(
        opened(), content_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


async def looks(app_name: str, *, every: float = REFRESH_SECONDS) -> AsyncGenerator[bool, None]:
    """Yield every so many seconds, for ever: True when something of the app moved or REFRESH_SECONDS are over, else False."""
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
        while not listener.done():  # again and again: what listens uses `wait_for` itself, see moved_within
            listener.cancel()
            await asyncio.wait([listener], timeout=1)


async def moved_within(moved: asyncio.Event, seconds: float) -> None:
    """Wait for the event, so long at most. Not by `wait_for`: before Python 3.12 it loses a cancel that comes together with the event.

    A stream whose reader left in that instant would then go on for ever, and a portal that stops would wait for it.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await moved.wait()


async def _listen(app_name: str, moved: asyncio.Event) -> None:
    async for _ in events.subscribe(app_name):
        moved.set()
