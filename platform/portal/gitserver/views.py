"""Smart HTTP for git (gitprotocol-http(5)): a password that is a token, one app a repository, the real git behind it."""

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
from portal.apps.access import app_for
from portal.apps.models import App
from portal.errors import NotSignedIn, Refused, SourceRefused, SourceTooLarge, TooBusy
from portal.gitserver import allowances, exchanges, repository, room, slots
from portal.gitserver.pktlines import frame
from portal.gitserver.slots import Slots
from portal.limits.visitor import password_of
from portal.plaintext import printable_lines
from portal.programs import running
from portal.quotas import amounts

SERVICES = {"git-receive-pack": "receive-pack", "git-upload-pack": "upload-pack"}
_BLOCK = 2**16
P = ParamSpec("P")


def in_words_for_git(
    view: Callable[Concatenate[HttpRequest, P], Awaitable[HttpResponseBase]],
) -> Callable[Concatenate[HttpRequest, P], Coroutine[Any, Any, HttpResponseBase]]:
    """Refusals as plain text: git shows that to its user, behind `remote:`."""

    async def answer(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            return await view(request, *args, **kwargs)
        except Refused as refusal:
            text = f"{printable_lines(refusal.explain())}\n"
            response = HttpResponse(text, status=refusal.status, content_type="text/plain; charset=utf-8")
            if isinstance(refusal, TooBusy):
                response["Retry-After"] = str(refusal.retry_after)
            if isinstance(refusal, NotSignedIn):
                response["WWW-Authenticate"] = 'Basic realm="Slipway: any name, and a token as the password"'
            return response

    return answer


@require_GET
@in_words_for_git
async def info_refs(request: HttpRequest, name: str) -> HttpResponseBase:
    """What the client may ask of the repository next, and which refs there are. A push that cannot be taken is refused here already:
    of an answer with an error to the push itself, git shows its user the status alone.
    """
    app, person = await sync_to_async(_authorised)(request, name)
    asked = request.GET.get("service", "")
    if asked not in SERVICES:
        raise Refused("This git speaks the dumb protocol only.", hint="Use git 1.6.6 or later.")
    path = await repository.ensure(app)
    if asked == "git-receive-pack":
        await sync_to_async(room.bytes_left)(app)
        _held_for_push(app, person).free()
    held = await _held_for_fetch(app)
    try:
        done = await running.run(
            repository.serve(SERVICES[asked], path, advertise=True),
            environment=repository.serving_environment(app, person, protocol=request.headers.get("Git-Protocol", "")),
            limits=allowances.short_limits(),
            team=app.team_id,
        )
    finally:
        held.free()
    if done.code != 0:
        raise Refused(f"Git could not read the repository of {name}: {done.stderr}")
    response = HttpResponse(
        frame(f"# service={asked}\n".encode()) + b"0000" + done.stdout, content_type=f"application/x-{asked}-advertisement"
    )
    response["Cache-Control"] = "no-cache"
    return response


@csrf_exempt
@require_POST
@in_words_for_git
async def exchange(request: HttpRequest, name: str, service: str) -> HttpResponseBase:
    """A push or a fetch: the request goes to git, git's answer comes back as it is made."""
    app, person = await sync_to_async(_authorised)(request, name)
    path = await repository.ensure(app)
    protocol = request.headers.get("Git-Protocol", "")
    if service == "git-receive-pack":
        left = await sync_to_async(room.bytes_left)(app)
        held = _held_for_push(app, person)
        most = min(left, settings.MAX_UPLOAD)
        body = _body(request, most, f"the disk of team {app.team.name} has room for" if left < settings.MAX_UPLOAD else "one push may have")
        answer = exchanges.push(app, person, path, body, held=held, most_bytes=most, protocol=protocol)
    else:
        held = await _held_for_fetch(app)
        answer = exchanges.fetch(
            app, person, path, _body(request, settings.MAX_UPLOAD, "one fetch may ask with"), held=held, protocol=protocol
        )
    response = StreamingHttpResponse(answer, content_type=f"application/x-{service}-result")
    response["Cache-Control"] = "no-cache"
    return response


def _held_for_push(app: App, person: Person) -> Slots:
    held = slots.take(allowances.open_pushes(app, person))
    if held is None:
        raise TooBusy(
            f"Team {app.team.name}, or you, have {allowances.MOST_OPEN} pushes under way, the most at the same time.",
            hint="Push again when one of them has ended.",
            retry_after=allowances.RETRY_SECONDS,
        )
    return held


async def _held_for_fetch(app: App) -> Slots:
    held = await slots.wait(allowances.fetching(app), patience=allowances.QUEUE_SECONDS)
    if held is None:
        raise TooBusy(
            f"Team {app.team.name} has too many fetches under way.",
            hint=f"Try again in {allowances.RETRY_SECONDS} s.",
            retry_after=allowances.RETRY_SECONDS,
        )
    return held


def _authorised(request: HttpRequest, name: str) -> tuple[App, Person]:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    person = person_of_token(password_of(credentials)) if scheme.lower() == "basic" else None
    if person is None:
        raise NotSignedIn("Git needs a token of yours as the password.", hint=f"Make one at {settings.PORTAL_URL}; any user name will do.")
    app = app_for(person, name)
    require_member(person, app.team)
    return app, person


async def _body(request: HttpRequest, most: int, why: str) -> AsyncIterator[bytes]:
    """The request's body, unpacked where git has packed it. SourceTooLarge: it is longer than the `most` bytes that `why` says."""
    unpack = zlib.decompressobj(wbits=31) if request.headers.get("Content-Encoding") in ("gzip", "x-gzip") else None
    total = 0
    while block := request.read(_BLOCK):
        while block:
            try:
                piece = unpack.decompress(block, _BLOCK * 16) if unpack else block
            except zlib.error:
                raise SourceRefused("The request says that it is packed by gzip, and is not.") from None
            block = unpack.unconsumed_tail if unpack else b""  # what did not fit into one piece
            total += len(piece)
            if total > most + _BLOCK:
                raise SourceTooLarge(f"What was sent is larger than the {amounts.size(most)} that {why}.")
            yield piece
            await asyncio.sleep(0)  # others have their turn, however large the body
