"""Cancel streaming responses when the client disconnects (works around a lost cancellation in
asgiref)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]  # as defined by the ASGI specification
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def cancel_on_disconnect(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Wrap `receive` and `send`: once `receive` has reported a disconnect, `send` raises
    CancelledError.

    Django cancels the response once when the client disconnects. If this happens inside a
    middleware that is not asynchronous (such as whitenoise's), asgiref waits for the response and
    drops the cancellation. The stream would then continue forever, because a server silently
    accepts data for a closed connection. So the next send raises the cancellation again. Django
    treats it as the same one.
    """
    left = False

    async def receive_and_remember() -> Message:
        nonlocal left
        message = await receive()
        left = left or message["type"] == "http.disconnect"
        return message

    async def send_unless_left(message: Message) -> None:
        if left:
            raise asyncio.CancelledError
        await send(message)

    return receive_and_remember, send_unless_left
