"""Event streams, one per page. Each sends rendered HTML. A page that reconnects continues after the
last event."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import wraps
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import get_token
from django.template.loader import render_to_string
from django.utils.dateparse import parse_date

from portal.accounts.models import Person
from portal.apps import logs as app_logs
from portal.apps.access import app_for
from portal.apps.models import App
from portal.builds import logs as build_logs
from portal.deploys.access import build_for
from portal.deploys.progress import progress_of
from portal.errors import NotFound
from portal.images.access import job_for
from portal.images.jobs import job_context
from portal.images.models import JobState
from portal.logs.lines import LogPiece
from portal.logs.logfile import LogLine, Reader
from portal.pages.apps.last_failure import dismissed_of, last_failure_of
from portal.pages.apps.log_page import LogFilter
from portal.pages.apps.overview import overview_of
from portal.pages.builds.log_view import NewLines
from portal.pages.live import stream
from portal.pages.metrics.views import parts_context
from portal.pages.metrics.wanted import wanted_of
from portal.releases.history import history_of, newest_rollout, previous_good

LOG_SECONDS = 0.25  # interval between reads of a log file
QUIET_LOOKS = 60
OVERVIEW_PARTS = (
    "status",
    "pulse",
    "glance",
    "acts",
    "failure",
    "instances",
    "last_deploys",
    "runs",
)


@dataclass(slots=True, kw_only=True)
class DayLines:
    """Renders the wanted lines, with a separator between days. `day` is that of the last line."""

    keep: Callable[[LogLine], bool]
    day: date | None

    def html(self, lines: Sequence[LogLine]) -> str:
        """Return list items, or an empty text if no line is wanted."""
        kept = [line for line in lines if self.keep(line)]
        found = LogPiece(lines=kept, day=self.day, has_days=True).html()
        self.day = next((line.at.date() for line in reversed(kept) if line.at), self.day)
        return found


Parts = tuple[dict[str, str], bool]  # HTML by name, and True if the stream ends after it
Chunks = AsyncGenerator[str, None]


def streamed(
    view: Callable[..., Awaitable[Chunks]],
) -> Callable[..., Coroutine[Any, Any, HttpResponseBase]]:
    """Turn a view that yields chunks into a stream for signed-in people. Others get an error, not a
    redirect.

    If the object was deleted, the stream sends a `gone` event: EventSource does not show the HTTP
    status to the page and would reconnect forever.
    """

    @wraps(view)
    async def answer(request: HttpRequest, *args: object, **named: object) -> HttpResponseBase:
        person = await request.auser()
        if not isinstance(person, Person):
            return HttpResponse(status=403)
        try:
            return stream.response(await view(request, person, *args, **named))
        except NotFound:
            return stream.response(_gone())

    return answer


@streamed
async def app_events(request: HttpRequest, person: Person, name: str) -> Chunks:
    """Send the changing parts of the overview."""
    await sync_to_async(app_for)(person, name)
    token = get_token(request)
    dismissed = await sync_to_async(dismissed_of)(request.session, name)

    def look() -> Parts:
        return overview_parts(app_for(person, name), token, dismissed), False

    return _parts(name, look)


@streamed
async def deploys_events(request: HttpRequest, person: Person, name: str) -> Chunks:
    """Send the steps of the newest rollout, and the list of all deploys."""
    await sync_to_async(app_for)(person, name)
    token = get_token(request)  # CSRF token of the forms in the list; one for the whole stream
    last: tuple[list[Hashable], str] = ([], "")

    def look() -> Parts:
        nonlocal last
        app = app_for(person, name)
        deploys = history_of(app)
        now: list[Hashable] = [
            (
                deploy.number,
                deploy.build,
                deploy.state,
                len(deploy.steps),
                deploy.can_roll_back,
                deploy.can_try_again,
            )
            for deploy in deploys
        ]
        # A new relative time alone is not sent: it would close parts of the page that the user has
        # opened.
        if now != last[0]:
            last = (
                now,
                render_to_string(
                    "releases/fragments/list.html",
                    {"app": app, "deploys": deploys, "csrf_token": token},
                ),
            )
        newest = render_to_string(
            "releases/fragments/newest.html", {"app": app, "newest": newest_rollout(app)}
        )
        return {"newest": newest, "deploys": last[1]}, False

    return _parts(name, look)


@streamed
async def build_events(request: HttpRequest, person: Person, name: str, number: int) -> Chunks:
    """Send the build's log, unless `?lines=no`, and its progress. `complete` is the last event."""
    build = await sync_to_async(build_for)(person, name, number)
    token = get_token(request)
    if request.GET.get("lines") == "no":
        log, place = None, ""
    else:
        log, place = build_logs.path_of(build), _place(request)
    lines = await sync_to_async(NewLines)(build, place)

    def look() -> Parts:
        progress = progress_of(build_for(person, name, number))
        context = {"app": progress.build.app, "progress": progress, "csrf_token": token}
        return {
            part: render_to_string(f"builds/fragments/{part}.html", context)
            for part in ("progress", "cancel")
        }, progress.is_over

    return _parts(name, look, log=log, place=place, render_lines=lines.html)


@streamed
async def image_job_events(_request: HttpRequest, person: Person, name: str, number: int) -> Chunks:
    """Send the progress of an image job until it ends."""
    await sync_to_async(job_for)(person, name, number)

    def look() -> Parts:
        job = job_for(person, name, number)
        return {"job": render_to_string("images/fragments/job.html", job_context(job))}, JobState(
            job.state
        ).is_over

    return _parts(name, look)


@streamed
async def metrics_events(request: HttpRequest, person: Person, name: str) -> Chunks:
    """Send the changing parts of the metrics page."""
    await sync_to_async(app_for)(person, name)
    wanted = wanted_of(request.GET.dict())

    def look() -> Parts:
        context = parts_context(app_for(person, name), wanted.at(time.time()))
        return {
            part: render_to_string(f"metrics/fragments/{part}.html", context)
            for part in ("pulse", "columns", "marks", "numbers")
        }, False

    return _parts(name, look)


@streamed
async def log_events(request: HttpRequest, person: Person, name: str) -> Chunks:
    """Send new log lines that match the page's filter, starting where the page ended."""
    app = await sync_to_async(app_for)(person, name)
    query = await sync_to_async(LogFilter.of(request.GET.dict()).query_of)(app)
    day = parse_date(request.GET.get("day", ""))

    def look() -> Parts:
        app_for(person, name)
        return {}, False

    lines = DayLines(keep=query.matches, day=day)
    return _parts(
        name, look, log=app_logs.path_of(app), place=_place(request), render_lines=lines.html
    )


def overview_parts(app: App, token: str = "", dismissed: str = "") -> dict[str, str]:
    """Return the HTML of each changing part of the overview, by name.

    `token` is the CSRF token, `dismissed` the key of the failure that the person has dismissed.
    """
    overview = overview_of(app)
    context = {
        "app": app,
        "overview": overview,
        "previous": previous_good(app),
        "pulse": overview.pulse,
        "csrf_token": token,
        "failure": last_failure_of(overview.status, dismissed),
    }
    return {
        part: render_to_string(f"apps/fragments/{part}.html", context) for part in OVERVIEW_PARTS
    }


async def _parts(
    app_name: str,
    look: Callable[[], Parts],
    *,
    log: Path | None = None,
    place: str = "",
    render_lines: Callable[[Sequence[LogLine]], str] = lambda _: "",
) -> Chunks:
    """Send each changed part and each new log line. After `complete`, the
    page closes the stream.

    `look` also checks the permission repeatedly: it raises if the app was deleted or the person
    lost access.
    """
    async with contextlib.AsyncExitStack() as stack:
        reader = stack.enter_context(Reader(log, after=place or None)) if log is not None else None
        sent: dict[str, str] = {}
        quiet = 0
        looks = await stack.enter_async_context(
            contextlib.aclosing(
                stream.looks(app_name, every=LOG_SECONDS if reader else stream.REFRESH_SECONDS)
            )
        )
        async for again in looks:
            # Read the state before the log: then no line that was printed before the end is lost.
            try:
                parts, is_over = await sync_to_async(look)() if again else ({}, False)
            except NotFound:
                parts, is_over, reader = (
                    {"gone": render_to_string("components/gone.html")},
                    True,
                    None,
                )
            while reader is not None and (lines := await sync_to_async(reader.read)()):
                if rendered := render_lines(lines):
                    yield stream.event("lines", rendered, id=lines[-1].id)
            changed = {name: html for name, html in parts.items() if sent.get(name) != html}
            for name, html in changed.items():
                yield stream.event(name, html)
            sent.update(changed)
            if is_over:
                yield stream.event("complete", "")
                return
            quiet = 0 if changed else quiet + 1
            if quiet % QUIET_LOOKS == QUIET_LOOKS - 1:
                yield ": still here\n\n"  # prevents proxies from closing an idle stream


async def _gone() -> Chunks:
    yield stream.event("gone", render_to_string("components/gone.html"))
    yield stream.event("complete", "")


def _place(request: HttpRequest) -> str:
    """Return the position to continue from. The browser's Last-Event-ID is newer than the URL's, so
    it takes precedence."""
    return request.headers.get("Last-Event-ID") or request.GET.get("after", "")
