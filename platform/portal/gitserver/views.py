"""Git over smart HTTP (gitprotocol-http(5)): a token is the password, each app has one repository,
and git itself does the work. The first push to an app creates it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from portal.accounts.access import person_of_token, require_member
from portal.accounts.models import Person
from portal.apps.models import App
from portal.errors import NotSignedIn, Refused, SourceRefused, SourceTooLarge, TooBusy
from portal.gitserver import disk_space, exchanges, git_limits, push_target, repository, slots
from portal.gitserver.pktlines import frame, remote_error
from portal.gitserver.push_target import Created
from portal.gitserver.slots import Slots
from portal.limits.visitor import password_of
from portal.plaintext import printable_lines
from portal.programs import running
from portal.quotas import amounts

SERVICES = {"git-receive-pack": "receive-pack", "git-upload-pack": "upload-pack"}
_BLOCK = 2**16
_PROBE = "4"  # bytes of the empty request that git sends before a large push
P = ParamSpec("P")


def errors_as_text(
    view: Callable[Concatenate[HttpRequest, P], Awaitable[HttpResponseBase]],
) -> Callable[Concatenate[HttpRequest, P], Coroutine[Any, Any, HttpResponseBase]]:
    """Return errors as plain text. Git shows them to its user after `remote:`."""

    async def answer(
        request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        try:
            return await view(request, *args, **kwargs)
        except Refused as refusal:
            text = f"{printable_lines(refusal.explain())}\n"
            response = HttpResponse(
                text, status=refusal.status, content_type="text/plain; charset=utf-8"
            )
            if isinstance(refusal, TooBusy):
                response["Retry-After"] = str(refusal.retry_after)
            if isinstance(refusal, NotSignedIn):
                response["WWW-Authenticate"] = (
                    'Basic realm="Slipway: any name, and a token as the password"'
                )
            return response

    return answer


@require_GET
@errors_as_text
async def info_refs(request: HttpRequest, name: str, team: str = "") -> HttpResponseBase:
    """Return the services of the repository and its refs.

    A push that cannot be accepted is refused already here. In an error response to the push itself,
    git would show its user only the status. Nothing is created here: this may be a dry run.
    """
    asked = request.GET.get("service", "")
    app, person = await sync_to_async(_authorised)(request, asked, team, name)
    if asked not in SERVICES:
        raise Refused(
            "This git client supports only the dumb protocol.", hint="Use git 1.6.6 or later."
        )
    if asked == "git-receive-pack":
        await sync_to_async(disk_space.bytes_left)(app)
        _held_for_push(app, person).free()
    held = await _held_for_fetch(app)
    try:
        async with repository.readable(app) as path:
            done = await running.run(
                repository.serve(SERVICES[asked], path, advertise=True),
                environment=repository.serving_environment(
                    app, person, protocol=request.headers.get("Git-Protocol", "")
                ),
                limits=git_limits.short_limits(),
                team=app.team_id,
            )
    finally:
        held.free()
    if done.code != 0:
        raise Refused(f"Git could not read the repository of {name}: {done.stderr}")
    response = HttpResponse(
        frame(f"# service={asked}\n".encode()) + b"0000" + done.stdout,
        content_type=f"application/x-{asked}-advertisement",
    )
    response["Cache-Control"] = "no-cache"
    return response


@csrf_exempt
@require_POST
@errors_as_text
async def exchange(
    request: HttpRequest, name: str, service: str, team: str = ""
) -> HttpResponseBase:
    """Process a push or a fetch: pass the request to git and stream its response."""
    app, person = await sync_to_async(_authorised)(request, service, team, name)
    created = Created.NO
    if push_target.is_new(app):
        kind = f"application/x-{service}-result"
        if request.headers.get("Content-Length") == _PROBE:
            return HttpResponse(b"", content_type=kind)
        try:
            app, created = await sync_to_async(push_target.create)(person, app, team=team)
        except Refused as refusal:
            return HttpResponse(remote_error(refusal.explain()), content_type=kind)
    path = await repository.ensure(app)
    protocol = request.headers.get("Git-Protocol", "")
    if service == "git-receive-pack":
        left = await sync_to_async(disk_space.bytes_left)(app)
        held = _held_for_push(app, person)
        most = min(left, settings.MAX_UPLOAD)
        body = _body(
            request,
            most,
            (
                f"the remaining disk quota of team {app.team.name}"
                if left < settings.MAX_UPLOAD
                else "the limit of one push"
            ),
        )
        answer = exchanges.push(
            app,
            person,
            path,
            body,
            held=held,
            most_bytes=most,
            protocol=protocol,
            created=created,
        )
    else:
        held = await _held_for_fetch(app)
        answer = exchanges.fetch(
            app,
            person,
            path,
            _body(request, settings.MAX_UPLOAD, "the limit of a fetch request"),
            held=held,
            protocol=protocol,
        )
    response = StreamingHttpResponse(answer, content_type=f"application/x-{service}-result")
    response["Cache-Control"] = "no-cache"
    return response


def _held_for_push(app: App, person: Person) -> Slots:
    held = slots.take(git_limits.open_pushes(app, person))
    if held is None:
        raise TooBusy(
            f"Team {app.team.name}, or you, already have {git_limits.MOST_OPEN} pushes in progress,"
            " which is the maximum.",
            hint="Push again when one of them has ended.",
            retry_after=git_limits.RETRY_SECONDS,
        )
    return held


async def _held_for_fetch(app: App) -> Slots:
    held = await slots.wait(git_limits.fetching(app), patience=git_limits.QUEUE_SECONDS)
    if held is None:
        raise TooBusy(
            f"Team {app.team.name} has too many fetches in progress.",
            hint=f"Try again in {git_limits.RETRY_SECONDS} s.",
            retry_after=git_limits.RETRY_SECONDS,
        )
    return held


def _authorised(request: HttpRequest, service: str, team: str, name: str) -> tuple[App, Person]:
    """Return the app and the sender. For a first push, the app is not saved yet."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    person = person_of_token(password_of(credentials)) if scheme.lower() == "basic" else None
    if person is None:
        raise NotSignedIn(
            "Git needs one of your tokens as the password.",
            hint=f"Create a token at {settings.PORTAL_URL}. Any user name works.",
        )
    find = push_target.existing_or_new if service == "git-receive-pack" else push_target.existing
    app = find(person, name, team=team)
    require_member(person, app.team)
    return app, person


async def _body(request: HttpRequest, most: int, why: str) -> AsyncIterator[bytes]:
    """Yield the request's body, decompressed if needed. Raise SourceTooLarge if it is longer than
    `most` bytes; `why` names the limit."""
    unpack = (
        zlib.decompressobj(wbits=31)
        if request.headers.get("Content-Encoding") in ("gzip", "x-gzip")
        else None
    )
    total = 0
    while block := request.read(_BLOCK):
        while block:
            try:
                piece = unpack.decompress(block, _BLOCK * 16) if unpack else block
            except zlib.error:
                raise SourceRefused(
                    "The request has the encoding gzip, but its body is not gzip data."
                ) from None
            # the part that did not fit into the last block
            block = unpack.unconsumed_tail if unpack else b""
            total += len(piece)
            if total > most + _BLOCK:
                raise SourceTooLarge(f"The sent data is larger than {amounts.size(most)}, {why}.")
            yield piece
            await asyncio.sleep(0)  # let other requests run, even if the body is large
