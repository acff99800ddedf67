"""Receive request bodies: limit their size, store them on the disk of the sources, and count them
per sender.

Django stores a body in the system's temporary folder before any view runs, without a limit, so
anyone could fill the disk. Here each URL has a limit. Only URLs that upload a source accept more
than a form, and only from people who may deploy there. Bodies for the registry are not stored: its
views check the sender before they read, and count while they read.
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
from portal.apps.models import App
from portal.builds.disk_space import check_room
from portal.errors import DiskFull, NotFound, TooLarge
from portal.http.disconnect import Message, Receive
from portal.limits.turns import Body
from portal.limits.visitor import Visitor

UNREAD = "slipway.unread"  # key in the scope of a streamed request: the source of its body
_STREAMED, _WITH_BODY = "/v2/", ("POST", "PATCH", "PUT")
_AROUND_A_FILE = 2**20  # the size of a form in addition to its file
_IDLE_SECONDS = 60.0  # the longest pause between two parts of a body
_UPLOADS = re.compile(
    r"/api/v1/apps/(?P<api>[^/]+)/builds|/apps/(?P<page>[^/]+)/deploy|/new"
    r"|/git/(?:[^/]+/)?(?P<git>[^/]+)\.git/git-receive-pack"
)


def is_streamed(scope: Mapping[str, Any]) -> bool:
    """Return True if the view itself reads the body while it arrives: large layers, which are
    written directly to their place."""
    return scope["method"] in _WITH_BODY and str(scope["path"]).startswith(_STREAMED)


async def blocks_of(request: HttpRequest) -> AsyncIterator[bytes]:
    """Yield the body of a streamed request in blocks. Raise RequestAborted if the client
    disconnects before its end."""
    receive: Receive = request.scope[UNREAD]  # type: ignore[attr-defined]  # an ASGIRequest, which django-stubs does not know
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestAborted
        more = message.get("more_body", False)
        if block := message.get("body", b""):
            yield block


def nothing() -> Receive:
    """Return an empty body whose client stays connected."""
    messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not messages:
            # until the response is sent and the waiting task is cancelled
            await asyncio.Event().wait()
        return messages.pop()

    return receive


def limit_of(path: str, visitor: Visitor) -> int:
    """Return the limit in bytes of a body from this sender to this path. Only uploads of sources
    need a query.

    Raise DiskFull for a source if the disk is too full for its build.
    """
    if visitor.person is None:
        return settings.MAX_ANONYMOUS_FORM
    match = _UPLOADS.fullmatch(path)
    try:
        if match is None or not _may_deploy(
            visitor.person,
            match["api"] or match["page"] or match["git"] or "",
            may_create=match["git"] is not None,
        ):
            return settings.MAX_FORM
    finally:
        connection.close()  # Django closes connections only for requests
    check_room()
    return settings.MAX_UPLOAD + _AROUND_A_FILE


def _may_deploy(number: int, app: str, *, may_create: bool) -> bool:
    """Return True if the person may deploy to this app, or, for a new app, to any team.

    `may_create`: an app that does not exist yet is a new app, because a push creates it.
    """
    try:
        person = Person.objects.filter(pk=number, is_active=True).first()
        if person is None:
            return False
        if app and not (may_create and not App.objects.filter(name=app).exists()):
            app_for(person, app)
            return True
        return teams_of(person).exists() or (may_create and person.is_staff)
    except (NotFound, DatabaseError):
        return False


class Limited:
    """The `receive` of one request. It counts the data, and raises TooLarge when the body is too
    long."""

    def __init__(
        self, scope: Mapping[str, Any], receive: Receive, visitor: Visitor, body: Body
    ) -> None:
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
        hint = (
            "Leave out files that the build does not need, such as dependencies, build results and"
            " data."
        )
    else:
        hint = "Only uploads to apps of your teams may be larger."
    return TooLarge(f"The request is larger than {size}.", hint=hint)


async def spooled(receive: Receive) -> IO[bytes]:
    """Write a whole body to a file without a name, which disappears after an error.

    Raise DiskFull if the disk is full.
    """
    body = tempfile.SpooledTemporaryFile(  # noqa: SIM115
        max_size=settings.FILE_UPLOAD_MAX_MEMORY_SIZE, dir=str(settings.INCOMING), prefix="body-"
    )  # the request closes it
    async with AsyncExitStack() as stack:
        stack.callback(body.close)
        try:
            await _write_all(body, receive)
        except TimeoutError:
            raise RequestAborted from None
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DiskFull(
                "The disk of this Slipway is full.",
                hint="Try again when an admin has freed disk space.",
            ) from None
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
