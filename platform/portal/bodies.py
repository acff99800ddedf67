"""Request bodies on their way in: spooled beside the sources, and long only for people we know.

Django spools a body to the system's temporary folder before any view runs, and knows no limit while it does: anyone could fill
the disk. Here a body beyond settings.MAX_FORM needs a session or a token, and none passes settings.MAX_UPLOAD. The registry's bodies
are not spooled: its views look who sends before they read, and count while they do.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from typing import IO, Any, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.db import connection
from django.http import HttpRequest

from portal.accounts.access import person_of_token
from portal.leaving import Message, Receive, Send, until_left

UNREAD = "slipway.unread"  # in the scope of a streamed request: where its body is to be had
_STREAMED, _WITH_BODY = "/v2/", ("POST", "PATCH", "PUT")
_AROUND_A_FILE = 2**20  # what a form adds to the file in it


class TooLarge(Exception):
    """The body is declared to be, or turns out to be, longer than it may; `limit` in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class BoundedHandler(ASGIHandler):
    """Django's handler, answering 413 to what is too long."""

    def __init__(self) -> None:
        super().__init__()
        settings.INCOMING.mkdir(parents=True, exist_ok=True)

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        if is_streamed(scope):
            await super().handle({**scope, UNREAD: receive}, _nothing(), send)
            return
        receive, send = until_left(receive, send)
        try:
            await super().handle(scope, await _bounded(scope, receive), send)
        except TooLarge as error:
            await _answer_413(scope, send, error)

    async def read_body(self, receive: Any) -> IO[bytes]:
        """Django's own, but for the folder."""
        spool = settings.FILE_UPLOAD_MAX_MEMORY_SIZE
        body = tempfile.SpooledTemporaryFile(max_size=spool, dir=str(settings.INCOMING), prefix="body-")  # noqa: SIM115  # the request closes it
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                body.close()
                raise RequestAborted
            body.write(message.get("body", b""))
            more = message.get("more_body", False)
        body.seek(0)
        return cast(IO[bytes], body)


def is_streamed(scope: Mapping[str, Any]) -> bool:
    """Whether the view reads the body itself, as it arrives: layers of gigabytes, which go where they stay and not into a spool first."""
    return scope["method"] in _WITH_BODY and str(scope["path"]).startswith(_STREAMED)


async def blocks_of(request: HttpRequest) -> AsyncIterator[bytes]:
    """The body of a streamed request, block by block; RequestAborted when the client goes away before its end."""
    receive: Receive = request.scope[UNREAD]  # type: ignore[attr-defined]  # an ASGIRequest, which django-stubs tells of nowhere
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestAborted
        more = message.get("more_body", False)
        if block := message.get("body", b""):
            yield block


def _nothing() -> Receive:
    """An empty body, and then a client who stays."""
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()  # until the answer is sent, and the task that asks is cancelled
        return messages.pop()

    return receive


async def _bounded(scope: dict[str, Any], receive: Receive) -> Receive:
    """`receive`, raising TooLarge as soon as it is known."""
    headers = dict(scope["headers"])
    declared = headers.get(b"content-length", b"0")
    limit, received = settings.MAX_FORM, 0

    async def check(length: int) -> None:
        nonlocal limit
        if length > limit == settings.MAX_FORM and await sync_to_async(_is_known)(headers):
            limit = settings.MAX_UPLOAD + _AROUND_A_FILE
        if length > limit:
            raise TooLarge(limit)

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        await check(received)
        return message

    await check(int(declared) if declared.isdigit() else 0)
    return counted


def _is_known(headers: dict[bytes, bytes]) -> bool:
    """Whether a session or a token comes with the request. Django's own care for connections begins only with the request."""
    try:
        return _comes_with_credentials(headers)
    finally:
        connection.close()


def _comes_with_credentials(headers: dict[bytes, bytes]) -> bool:
    scheme, _, credentials = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme.lower() == "bearer":
        return person_of_token(credentials) is not None
    if scheme.lower() == "basic":
        return person_of_token(password_of(credentials)) is not None
    try:
        cookie = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return False
    if cookie is None:
        return False
    return SESSION_KEY in import_module(settings.SESSION_ENGINE).SessionStore(cookie.value)


def password_of(credentials: str) -> str:
    """The password of HTTP Basic credentials (RFC 7617); empty for what is none."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


async def _answer_413(scope: dict[str, Any], send: Send, error: TooLarge) -> None:
    small = error.limit == settings.MAX_FORM
    hint = (
        "Sign in, or send a token, to upload more." if small else "Leave out what a build does not need: dependencies, build results, data."
    )
    sentence = f"The request is larger than {error.limit // 2**20} MiB."
    if b"text/html" in dict(scope["headers"]).get(b"accept", b""):
        kind, body = b"text/plain; charset=utf-8", f"{sentence} {hint}\n".encode()
    else:
        kind, body = b"application/json", json.dumps({"error": sentence, "hint": hint}).encode()
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-type", kind), (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
