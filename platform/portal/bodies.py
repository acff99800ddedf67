"""Request bodies on their way in: how long each may be, spooled beside the sources, counted together by sender.

Django spools a body to the system's temporary folder before any view runs, and knows no limit while it does: anyone could fill
the disk. Here each address has its limit, and only those where a source is uploaded take more than a form, from people who may deploy
there. The registry's bodies are not spooled: its views look who sends before they read, and count while they do.
"""

from __future__ import annotations

import asyncio
import errno
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import IO, Any, cast

from django.conf import settings
from django.core.exceptions import RequestAborted
from django.db import DatabaseError, connection
from django.http import HttpRequest

from portal.accounts.access import teams_of
from portal.accounts.models import Person
from portal.apps.access import app_for
from portal.builds.room import check_room
from portal.errors import NoRoom, NotFound, TooLarge
from portal.leaving import Message, Receive
from portal.limits.turns import Body
from portal.limits.visitor import Visitor

UNREAD = "slipway.unread"  # in the scope of a streamed request: where its body is to be had
_STREAMED, _WITH_BODY = "/v2/", ("POST", "PATCH", "PUT")
_AROUND_A_FILE = 2**20  # what a form adds to the file in it
_IDLE_SECONDS = 60.0  # between two pieces of a body
_UPLOADS = re.compile(r"/api/v1/apps/(?P<api>[^/]+)/builds|/apps/(?P<page>[^/]+)/deploy|/git/(?P<git>[^/]+)\.git/git-receive-pack|/new")


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


def nothing() -> Receive:
    """An empty body, and then a client who stays."""
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()  # until the answer is sent, and the task that asks is cancelled
        return messages.pop()

    return receive


def limit_of(path: str, visitor: Visitor) -> int:
    """How many bytes a body to this path may have from this sender. Asks the database only where a source is uploaded.

    NoRoom: a source, while the disk is too full for a build of it.
    """
    if visitor.person is None:
        return settings.MAX_ANONYMOUS_FORM
    match = _UPLOADS.fullmatch(path)
    try:
        if match is None or not _may_deploy(visitor.person, match["api"] or match["page"] or match["git"] or ""):
            return settings.MAX_FORM
    finally:
        connection.close()  # Django's own care for connections begins only with the request
    check_room()
    return settings.MAX_UPLOAD + _AROUND_A_FILE


def _may_deploy(number: int, app: str) -> bool:
    """To this app; or, where it is to be made, to any team."""
    try:
        person = Person.objects.filter(pk=number, is_active=True).first()
        if person is None:
            return False
        if app:
            app_for(person, app)
        return bool(app) or teams_of(person).exists()
    except (NotFound, DatabaseError):
        return False


class Limited:
    """`receive` of one request, which raises TooLarge as soon as the body is known to be too long, and counts what came."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, visitor: Visitor, body: Body) -> None:
        self._scope = scope
        self._receive = receive
        self._visitor = visitor
        self._body = body
        self._limit = settings.MAX_ANONYMOUS_FORM
        self._is_final = False

    async def check_declared(self, look_up: Callable[[str, Visitor], Awaitable[int]]) -> None:
        """Refuse by Content-Length, before anything is read."""
        self._look_up = look_up
        declared = dict(self._scope["headers"]).get(b"content-length", b"0")
        await self._check(int(declared) if declared.isdigit() else 0)

    async def __call__(self) -> Message:
        async with asyncio.timeout(None if self._is_read else _IDLE_SECONDS):
            message = await self._receive()
        block = len(message.get("body", b""))
        if block:
            await self._check(self._body.length + block)
            self._body.add(block)
        self._is_read = not message.get("more_body", False)
        return message

    _is_read = False
    _look_up: Callable[[str, Visitor], Awaitable[int]]

    async def _check(self, length: int) -> None:
        if length > self._limit and not self._is_final:
            self._limit = await self._look_up(str(self._scope["path"]), self._visitor)
            self._is_final = True
        if length > self._limit:
            raise _too_large(self._limit, self._visitor)


def _too_large(limit: int, visitor: Visitor) -> TooLarge:
    size = f"{limit // 2**20} MiB" if limit >= 2**20 else f"{limit // 2**10} KiB"
    if visitor.person is None:
        hint = "Sign in, or send a token, to upload more."
    elif limit > settings.MAX_FORM:
        hint = "Leave out what a build does not need: dependencies, build results, data."
    else:
        hint = "Only an upload to an app of your teams may be larger."
    return TooLarge(f"The request is larger than {size}.", hint=hint)


async def spooled(receive: Receive) -> IO[bytes]:
    """Read a whole body into a file without a name. NoRoom: the disk is full. What came before a failure is gone with the file."""
    body = tempfile.SpooledTemporaryFile(max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE, dir=str(settings.INCOMING), prefix="body-")  # noqa: SIM115  # the request closes it
    async with AsyncExitStack() as stack:
        stack.callback(body.close)
        try:
            await _write_all(body, receive)
        except TimeoutError:
            raise RequestAborted from None
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise NoRoom("The disk of this Slipway is full.", hint="Try again when its admin has made room.") from None
        stack.pop_all()
    return cast(IO[bytes], body)


async def _write_all(body: Any, receive: Receive) -> None:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestAborted
        body.write(message.get("body", b""))
        more = message.get("more_body", False)
    body.seek(0)
