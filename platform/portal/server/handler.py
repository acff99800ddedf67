"""Process a request before and around Django: identify the sender, apply rate limits, limit the
body, and wait for a turn.

A request is refused before its body is read, in the format of the client (`limits/refusing.py`).
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

from portal.errors import Refused, TooManyRequests
from portal.http import request_bodies
from portal.http.disconnect import Receive, cancel_on_disconnect
from portal.limits.client import connect
from portal.limits.rates import Rates, bucket_of_address, buckets_of
from portal.limits.streams import Streams
from portal.limits.turns import OpenBodies, Turns
from portal.limits.visitor import Visitor, Visitors, address_of
from portal.server import refusals

# keys in the scope: the sender, and the resources to release after the response
_VISITOR, _HELD = "slipway.visitor", "slipway.held"
# views that wait for other processes; a wrong match only costs time
_ASYNCHRONOUS = re.compile(r"^/(v2|git)/|/(events|log)$")
# seconds before a response with 429: a client that retries immediately would cost more than its
# requests
_PAUSE = 0.25
_WAITING_VIEWS = re.compile(r"^/(v2|git)/")
_COST_OF_A_FILE = 0.1  # the cost of a request to /static/: a page loads ten files
_TOGETHER = 16  # requests of all people that one process handles at the same time
_WAITING = 200  # requests of one person that wait for a turn in one process
_OPEN_BODIES = 64  # of one person, in one process


T = TypeVar("T")


class PortalHandler(ASGIHandler):
    """Django's handler behind the limits. There is one per process, used by one event loop."""

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
            raise ValueError(f"The portal supports only HTTP, not {scope['type']}.")
        async with AsyncExitStack() as held:
            try:
                visitor = await self._visitor_of(scope)
                scope = {**scope, _VISITOR: visitor, _HELD: held}
                await self._process(scope, receive, send, visitor, held)
            except Refused as refused:
                if isinstance(refused, TooManyRequests):
                    await asyncio.sleep(_PAUSE)
                response = await sync_to_async(refusals.response_to, thread_sensitive=False)(
                    scope, refused
                )
                await self.send_response(response, send)

    async def read_body(self, receive: Any) -> IO[bytes]:
        """Read the body like Django, but into our folder and with handling of a full disk."""
        return await request_bodies.spooled(receive)

    async def run_get_response(self, request: Any) -> HttpResponseBase:
        """Run an asynchronous view when it is its turn. An endless response is counted while it
        lasts."""
        visitor: Visitor = request.scope[_VISITOR]
        try:
            # they wait for a body or for their own slot, which needs no turn
            if _WAITING_VIEWS.search(request.path):
                return await super().run_get_response(request)
            async with self._turns.of(visitor.name):
                response: HttpResponseBase = await super().run_get_response(request)
            if _is_endless(request, response):
                held: AsyncExitStack = request.scope[_HELD]
                await held.enter_async_context(self._streams.of(visitor.name))
        except Refused as refused:
            return await sync_to_async(refusals.response_to, thread_sensitive=False)(
                request.scope, refused
            )
        return response

    async def _process(
        self, scope: Any, receive: Any, send: Any, visitor: Visitor, held: AsyncExitStack
    ) -> None:
        """Limit the body, then process the request."""
        body = held.enter_context(self._bodies.of(visitor.name)) if _has_body(scope) else None
        if request_bodies.is_streamed(scope):
            await super().__call__(
                {**scope, request_bodies.UNREAD: receive}, request_bodies.nothing(), send
            )
            return
        if body is not None:
            receive = request_bodies.Limited(scope, receive, visitor, body)
            await receive.check_declared(
                sync_to_async(request_bodies.limit_of, thread_sensitive=False)
            )
        if _ASYNCHRONOUS.search(scope["path"]):
            receive, send = cancel_on_disconnect(receive, send)
            await super().__call__(scope, receive, send)
        else:
            await self._answer_in_a_thread(scope, receive, send, visitor)

    async def _answer_in_a_thread(
        self, scope: Any, receive: Any, send: Any, visitor: Visitor
    ) -> None:
        """Process the whole request in one thread of the pool, because most views and half of the
        middleware are synchronous.

        Django's own handler switches to another thread and back for every middleware, which costs
        more than most responses.
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
        assert response is not None  # `create_request` returns either a request or a response
        if not response.streaming:
            response.close()  # also closes this thread's database connection
        return response

    async def _in_the_pool(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, lambda: contextvars.Context().run(function, *arguments)
        )

    async def _visitor_of(self, scope: Any) -> Visitor:
        """Return the sender. Raise TooManyRequests if the sender has reached a rate limit."""
        headers = dict(scope["headers"])
        cost = _COST_OF_A_FILE if str(scope["path"]).startswith(settings.STATIC_URL) else 1.0
        visitor = self._visitors.remembered(scope, headers)
        # invalid credentials need a query each, so they count for the address of the sender
        if visitor is None:
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
        """Return the Redis client. The first request creates it, in its process and event loop."""
        return connect(settings.REDIS_CLIENT_URL)

    @cached_property
    def _rates(self) -> Rates:
        return Rates(self._redis)

    @cached_property
    def _streams(self) -> Streams:
        return Streams(self._redis, most=settings.STREAMS_PER_PERSON)


async def _sent_before_leaving(sending: Coroutine[Any, Any, None], receive: Receive) -> bool:
    """Send a long response until it ends or the client disconnects. Return True if it ended."""
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
    """Return True for event streams and followed logs. Git's responses end with git, and files have
    a length."""
    return (
        response.streaming
        and not response.has_header("Content-Length")
        and not request.path.startswith(("/git/", "/v2/"))
    )
