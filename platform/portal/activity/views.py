"""The event streams: one a page. Each brings ready HTML; a page that lost its stream takes it up after the last event."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string

from portal.accounts.models import Person
from portal.activity import stream
from portal.activity.logfile import Reader
from portal.activity.loglines import LogPiece
from portal.apps import logs as app_logs
from portal.apps.access import app_for
from portal.apps.models import App
from portal.apps.overview import overview_of
from portal.builds import logs as build_logs
from portal.builds.access import build_for
from portal.builds.progress import progress_of
from portal.errors import NotFound
from portal.images.access import job_for
from portal.images.jobs import job_context
from portal.images.models import JobState
from portal.metrics.views import parts_context, span_of
from portal.releases.story import previous_good

LOG_SECONDS = 0.25  # how often a log file is looked at
QUIET_LOOKS = 60
OVERVIEW_PARTS = ("status", "pulse", "instances", "last_deploys", "runs")

Parts = tuple[dict[str, str], bool]  # name to HTML of each, and whether nothing more will come


async def app_events(request: HttpRequest, name: str) -> HttpResponseBase:
    """The overview's moving parts, each when it changed."""
    person = await _person(request)
    if person is None:
        return HttpResponse(status=403)
    await sync_to_async(app_for)(person, name)

    def look() -> Parts:
        return overview_parts(app_for(person, name)), False

    return stream.response(_parts(name, look))


async def build_events(request: HttpRequest, name: str, number: int) -> HttpResponseBase:
    """The build's log and progress; ends with `complete` when all of it is told."""
    person = await _person(request)
    if person is None:
        return HttpResponse(status=403)
    build = await sync_to_async(build_for)(person, name, number)

    def look() -> Parts:
        progress = progress_of(build_for(person, name, number))
        return {
            "progress": render_to_string("builds/fragments/progress.html", {"app": progress.build.app, "progress": progress})
        }, progress.is_over

    return stream.response(_parts(name, look, log=build_logs.path_of(build), place=_place(request)))


async def image_job_events(request: HttpRequest, name: str, number: int) -> HttpResponseBase:
    """How a job with images goes on, until it is over."""
    person = await _person(request)
    if person is None:
        return HttpResponse(status=403)
    await sync_to_async(job_for)(person, name, number)

    def look() -> Parts:
        job = job_for(person, name, number)
        return {"job": render_to_string("images/fragments/job.html", job_context(job))}, JobState(job.state).is_over

    return stream.response(_parts(name, look))


async def metrics_events(request: HttpRequest, name: str) -> HttpResponseBase:
    """The moving parts of the page of metrics, each when it changed."""
    person = await _person(request)
    if person is None:
        return HttpResponse(status=403)
    await sync_to_async(app_for)(person, name)
    span = span_of(request)

    def look() -> Parts:
        context = parts_context(app_for(person, name), span)
        return {part: render_to_string(f"metrics/fragments/{part}.html", context) for part in ("pulse", "columns", "numbers")}, False

    return stream.response(_parts(name, look))


async def log_events(request: HttpRequest, name: str) -> HttpResponseBase:
    """What the app prints from now on, or from where the page left off."""
    person = await _person(request)
    if person is None:
        return HttpResponse(status=403)
    app = await sync_to_async(app_for)(person, name)

    def look() -> Parts:
        app_for(person, name)
        return {}, False

    return stream.response(_parts(name, look, log=app_logs.path_of(app), place=_place(request)))


def overview_parts(app: App) -> dict[str, str]:
    """Name to HTML of each part of the overview that moves."""
    overview = overview_of(app)
    context = {"app": app, "overview": overview, "previous": previous_good(app), "pulse": overview.pulse}
    return {part: render_to_string(f"apps/fragments/{part}.html", context) for part in OVERVIEW_PARTS}


async def _parts(app_name: str, look: Callable[[], Parts], *, log: Path | None = None, place: str = "") -> AsyncGenerator[str, None]:
    """Send each part that changed and each line that came. After `complete` the page closes the stream for good.

    `look` is also the lasting check that the person may see this: it raises once the app is gone or no longer theirs.
    """
    async with contextlib.AsyncExitStack() as stack:
        reader = stack.enter_context(Reader(log, after=place or None)) if log is not None else None
        sent: dict[str, str] = {}
        quiet = 0
        looks = await stack.enter_async_context(
            contextlib.aclosing(stream.looks(app_name, every=LOG_SECONDS if reader else stream.REFRESH_SECONDS))
        )
        async for again in looks:
            # Looked at before the log is read: what was printed before the end is then never left out.
            try:
                parts, is_over = await sync_to_async(look)() if again else ({}, False)
            except NotFound:
                parts, is_over, reader = {"gone": render_to_string("components/gone.html")}, True, None
            while reader is not None and (lines := await sync_to_async(reader.read)()):
                piece = LogPiece(lines=lines)
                yield stream.event("lines", piece.html(), id=piece.place)
            changed = {name: html for name, html in parts.items() if sent.get(name) != html}
            for name, html in changed.items():
                yield stream.event(name, html)
            sent.update(changed)
            if is_over:
                yield stream.event("complete", "")
                return
            quiet = 0 if changed else quiet + 1
            if quiet % QUIET_LOOKS == QUIET_LOOKS - 1:
                yield ": still here\n\n"  # keeps proxies from taking a quiet stream for a dead one


async def _person(request: HttpRequest) -> Person | None:
    """Who is signed in; a stream has no use for a redirect to the sign-in page."""
    user = await request.auser()
    return user if isinstance(user, Person) else None


def _place(request: HttpRequest) -> str:
    """The browser's own header wins: it is set when it reconnects by itself, later than the address was made."""
    return request.headers.get("Last-Event-ID") or request.GET.get("after", "")
