"""What happens to a request before and around Django: who sends it, whether they may send one more, how long its body may be, its turn.

Each refusal comes before the body is read, in the form that the client reads (`limits/refusing.py`).
"""

from __future__ import annotations

import asyncio
import contextvars
import re
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from functools import cached_property
from typing import IO, Any, TypeVar

import redis.asyncio
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from portal import bodies
from portal.errors import Refused, TooManyRequests
from portal.leaving import Receive, until_left
from portal.limits import refusing
from portal.limits.client import connect
from portal.limits.rates import Rates, bucket_of_address, buckets_of
from portal.limits.streams import Streams
from portal.limits.turns import OpenBodies, Turns
from portal.limits.visitor import Visitor, Visitors, address_of

_VISITOR, _HELD = "slipway.visitor", "slipway.held"  # in the scope: who sends, and what is let go when the answer has ended
_ASYNCHRONOUS = re.compile(r"^/(v2|git)/|/(events|log)$")  # views that wait for others; a wrong guess only costs time
_PAUSE = 0.25  # seconds before an answer of 429: a client that tries again at once would cost more than its requests do
_WAITING_VIEWS = re.compile(r"^/(v2|git)/")
_COST_OF_A_FILE = 0.1  # of /static/: a page brings ten
_TOGETHER = 16  # answers that one process works at, of all people
_WAITING = 200  # requests of one person that wait for a turn in one process
_OPEN_BODIES = 64  # of one person, in one process


T = TypeVar("T")


class PortalHandler(ASGIHandler):
    """Django's handler behind the limits. One for each process, used by one event loop."""

    def __init__(self) -> None:
        super().__init__()
        settings.INCOMING.mkdir(parents=True, exist_ok=True)
        self._synchronous = BaseHandler()
        self._synchronous.load_middleware()
        self._visitors = Visitors()
        self._turns = Turns(each=settings.REQUESTS_AT_ONCE, together=_TOGETHER, waiting=_WAITING)
        self._bodies = OpenBodies(most=_OPEN_BODIES, most_bytes=settings.MAX_OPEN_BODIES)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError(f"The portal answers HTTP, not {scope['type']}.")
        async with AsyncExitStack() as held:
            try:
                visitor = await self._visitor_of(scope)
                scope = {**scope, _VISITOR: visitor, _HELD: held}
                await self._take_in(scope, receive, send, visitor, held)
            except Refused as refused:
                if isinstance(refused, TooManyRequests):
                    await asyncio.sleep(_PAUSE)
                response = await sync_to_async(refusing.response_to, thread_sensitive=False)(scope, refused)
                await self.send_response(response, send)

    async def read_body(self, receive: Any) -> IO[bytes]:
        """Django's own, but for the folder and a full disk."""
        return await bodies.spooled(receive)

    async def run_get_response(self, request: Any) -> HttpResponseBase:
        """Of an asynchronous view: in turn, and an answer without an end is counted as long as it lasts."""
        visitor: Visitor = request.scope[_VISITOR]
        try:
            if _WAITING_VIEWS.search(request.path):  # for a body, or for a slot of their own: that is no work
                return await super().run_get_response(request)
            async with self._turns.of(visitor.name):
                response: HttpResponseBase = await super().run_get_response(request)
            if _is_endless(request, response):
                held: AsyncExitStack = request.scope[_HELD]
                await held.enter_async_context(self._streams.of(visitor.name))
        except Refused as refused:
            return await sync_to_async(refusing.response_to, thread_sensitive=False)(request.scope, refused)
        return response

    async def _take_in(self, scope: Any, receive: Any, send: Any, visitor: Visitor, held: AsyncExitStack) -> None:
        """Limit the body, then have the request answered."""
        body = held.enter_context(self._bodies.of(visitor.name)) if _has_body(scope) else None
        if bodies.is_streamed(scope):
            await super().__call__({**scope, bodies.UNREAD: receive}, bodies.nothing(), send)
            return
        if body is not None:
            receive = bodies.Limited(scope, receive, visitor, body)
            await receive.check_declared(sync_to_async(bodies.limit_of, thread_sensitive=False))
        if _ASYNCHRONOUS.search(scope["path"]):
            receive, send = until_left(receive, send)
            await super().__call__(scope, receive, send)
        else:
            await self._answer_in_a_thread(scope, receive, send, visitor)

    async def _answer_in_a_thread(self, scope: Any, receive: Any, send: Any, visitor: Visitor) -> None:
        """Most views are synchronous, as half of the middleware is: a thread of the pool does all of such a request.

        Django's own handler goes to a fresh thread and back for every middleware, which costs more than most answers.
        """
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            async with self._turns.of(visitor.name):
                response = await self._in_the_pool(self._respond, scope, body)
            try:
                if not response.streaming:
                    await self.send_response(response, send)
                elif not await _sent_before_leaving(self.send_response(response, send), receive):
                    return
            finally:
                if response.streaming:
                    await self._in_the_pool(response.close)

    def _respond(self, scope: Any, body: IO[bytes]) -> HttpResponseBase:
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, refused = self.create_request(scope, body)
        response = refused if request is None else self._synchronous.get_response(request)
        assert response is not None  # `create_request` gives one of the two
        if not response.streaming:
            response.close()  # closes this thread's connection to the database too
        return response

    async def _in_the_pool(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: contextvars.Context().run(function, *arguments))

    async def _visitor_of(self, scope: Any) -> Visitor:
        """Who sends it. TooManyRequests: they may not send one more now."""
        headers = dict(scope["headers"])
        cost = _COST_OF_A_FILE if str(scope["path"]).startswith(settings.STATIC_URL) else 1.0
        visitor = self._visitors.remembered(scope, headers)
        if visitor is None:  # made-up credentials cost a query each, so they count for the address that sends them
            await self._rates.take([bucket_of_address(address_of(scope))], cost=cost)
            visitor = await self._in_the_pool(self._visitors.look_up, scope, headers)
            if visitor.person is None:
                return visitor
        await self._rates.take(buckets_of(visitor), cost=cost)
        return visitor

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_TOGETHER, thread_name_prefix="answer")

    @cached_property
    def _redis(self) -> redis.asyncio.Redis:
        """Made by the first request, in the process and the event loop that use it."""
        return connect(settings.REDIS_CLIENT_URL)

    @cached_property
    def _rates(self) -> Rates:
        return Rates(self._redis)

    @cached_property
    def _streams(self) -> Streams:
        return Streams(self._redis, most=settings.STREAMS_PER_PERSON)


async def _sent_before_leaving(sending: Coroutine[Any, Any, None], receive: Receive) -> bool:
    """Send a long answer until it ends or its reader leaves; whether it ended."""
    sender, listener = asyncio.ensure_future(sending), asyncio.ensure_future(receive())
    try:
        await asyncio.wait((sender, listener), return_when=asyncio.FIRST_COMPLETED)
        if sender.done():
            sender.result()
        return sender.done()
    finally:
        for task in (sender, listener):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait((task,))


def _has_body(scope: Any) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def _is_endless(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Event streams and followed logs. Git's answers end with what git does, and files have a length."""
    return response.streaming and not response.has_header("Content-Length") and not request.path.startswith(("/git/", "/v2/"))
