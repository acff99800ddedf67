"""Smart HTTP for git (gitprotocol-http(5)): a password that is a token, one app a repository, the real git behind it."""

from __future__ import annotations

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
from portal.bodies import password_of
from portal.errors import NotSignedIn, Refused, SourceTooLarge
from portal.gitserver import process, repository

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
            response = HttpResponse(f"{refusal.explain()}\n", status=refusal.status, content_type="text/plain; charset=utf-8")
            if isinstance(refusal, NotSignedIn):
                response["WWW-Authenticate"] = 'Basic realm="Slipway: any name, and a token as the password"'
            return response

    return answer


@require_GET
@in_words_for_git
async def info_refs(request: HttpRequest, name: str) -> HttpResponseBase:
    """What the client may ask of the repository next, and which refs there are."""
    app, person = await sync_to_async(_authorised)(request, name)
    asked = request.GET.get("service", "")
    if asked not in SERVICES:
        raise Refused("This git speaks the dumb protocol only.", hint="Use git 1.6.6 or later.")
    path = await repository.ensure(app)
    done = await process.run(
        repository.serve(SERVICES[asked], path, advertise=True),
        environment=repository.serving_environment(app, person, protocol=request.headers.get("Git-Protocol", "")),
    )
    if done.code != 0:
        raise Refused(f"Git could not read the repository of {name}: {done.stderr}")
    response = HttpResponse(_pkt_line(f"# service={asked}\n") + b"0000" + done.stdout, content_type=f"application/x-{asked}-advertisement")
    response["Cache-Control"] = "no-cache"
    return response


@csrf_exempt
@require_POST
@in_words_for_git
async def exchange(request: HttpRequest, name: str, service: str) -> HttpResponseBase:
    """A push or a fetch: the request goes to git, git's answer comes back as it is made."""
    app, person = await sync_to_async(_authorised)(request, name)
    path = await repository.ensure(app)
    answer = process.exchange(
        repository.serve(SERVICES[service], path, advertise=False),
        _body(request),
        environment=repository.serving_environment(app, person, protocol=request.headers.get("Git-Protocol", "")),
        outlives_reader=service == "git-receive-pack",  # a build is not stopped by a lost connection, and its ref should follow
    )
    response = StreamingHttpResponse(answer, content_type=f"application/x-{service}-result")
    response["Cache-Control"] = "no-cache"
    return response


def _authorised(request: HttpRequest, name: str) -> tuple[App, Person]:
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    person = person_of_token(password_of(credentials)) if scheme.lower() == "basic" else None
    if person is None:
        raise NotSignedIn("Git needs a token of yours as the password.", hint=f"Make one at {settings.PORTAL_URL}; any user name will do.")
    app = app_for(person, name)
    require_member(person, app.team)
    return app, person


async def _body(request: HttpRequest) -> AsyncIterator[bytes]:
    """The request's body, unpacked where git has packed it; never longer than one upload may be."""
    unpack = zlib.decompressobj(wbits=31) if request.headers.get("Content-Encoding") in ("gzip", "x-gzip") else None
    total = 0
    while block := request.read(_BLOCK):
        while block:
            piece = unpack.decompress(block, _BLOCK * 16) if unpack else block
            block = unpack.unconsumed_tail if unpack else b""  # what did not fit into one piece
            total += len(piece)
            if total > settings.MAX_UPLOAD + _BLOCK:
                raise SourceTooLarge("The push is too large.")
            yield piece


def _pkt_line(text: str) -> bytes:
    """Length in four hex digits, itself counted, then the text (gitprotocol-common(5))."""
    return f"{len(text) + 4:04x}{text}".encode()
