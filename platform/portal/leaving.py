"""Readers who leave before their answer ends: nothing is sent to them any more, so that what makes the answer ends too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]  # as the ASGI specification has it
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def until_left(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """The two with a memory: once `receive` told that the reader is gone, `send` raises CancelledError.

    Django cancels what makes the answer as soon as it hears that the reader left, once. Where that happens inside a middleware that
    is not asynchronous (whitenoise's is not), asgiref waits for the answer and drops the cancel: a stream would then go on for ever,
    as a server takes what is sent to nobody without a word. So the next thing sent says it again; Django takes it for the same cancel.
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
