"""API operations for logs as plain text: of builds, runs and apps."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from asgiref.sync import sync_to_async
from django.http import HttpRequest, StreamingHttpResponse
from ninja import Query, Router, Schema

from portal.accounts.access import person_of_token
from portal.api.authentication import person_of
from portal.apps import logs as app_logs
from portal.apps.access import app_for
from portal.apps.health import current_check
from portal.apps.models import App
from portal.builds import logs as build_logs
from portal.builds.models import BuildState
from portal.deploys.access import build_for
from portal.errors import NotFound, ValueRefused
from portal.jobs.access import run_for
from portal.jobs.models import RunState
from portal.logs.query import Level, LogQuery, search
from portal.plaintext import printable

router = Router(tags=["logs"])
_MOST_LINES = 10_000
_ACCESS_CHECK_SECONDS = 2.0  # interval of access checks while a client follows a log


@router.get(
    "/apps/{name}/builds/{number}/log",
    summary="A build's log as plain text; with follow=true until the build ends",
)
async def build_log(
    request: HttpRequest, name: str, number: int, *, lines: int = 1000, follow: bool = False
) -> StreamingHttpResponse:
    build = await sync_to_async(build_for)(person_of(request), name, number)

    async def is_over() -> bool:
        await build.arefresh_from_db(fields=("state",))
        return BuildState(build.state).is_over

    path = build_logs.path_of(build)
    text = _texts(build_logs.follow(path, done=is_over)) if follow else _tail(path, lines)
    return StreamingHttpResponse(text, content_type="text/plain; charset=utf-8")


class WantedLines(Schema):
    """The wanted lines of a log. Empty values match every line.

    `source` is a process type, `router` or `slipway`; `instance` is the whole source of one
    instance. `level` matches that level and worse ones. With `checks=false` the requests of the
    health check are left out.
    """

    search: str = ""
    level: Level = ""
    source: str = ""
    instance: str = ""
    since: datetime | None = None
    until: datetime | None = None
    checks: bool = True

    def query_of(self, app: App) -> LogQuery:
        """Return it for the lines of an app."""
        return LogQuery(
            text=self.search,
            level=self.level,
            source=self.source,
            instance=self.instance,
            since=_with_zone(self.since),
            until=_with_zone(self.until),
            checks_of=None if self.checks else current_check(app).check.path or "/",
        )


def _with_zone(moment: datetime | None) -> datetime | None:
    """Return a time as UTC if it has no time zone."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


@router.get(
    "/apps/{name}/runs/{number}/log",
    summary="A run's output as plain text; with follow=true until the run ends",
)
async def run_log(
    request: HttpRequest, name: str, number: int, *, lines: int = 1000, follow: bool = False
) -> StreamingHttpResponse:
    app = await sync_to_async(app_for)(person_of(request), name)
    run = await sync_to_async(run_for)(app, number)
    may_go_on = _access_check(request, app)

    async def is_over() -> bool:
        await may_go_on()
        await run.arefresh_from_db(fields=("state",))
        return RunState(run.state).is_over

    text = _tail(
        app_logs.path_of(app),
        lines,
        query=LogQuery(instance=run.source, since=run.created_at),
        done=is_over if follow else None,
    )
    return StreamingHttpResponse(text, content_type="text/plain; charset=utf-8")


@router.get(
    "/apps/{name}/log",
    summary=(
        "The app's log as plain text, of all kept lines those that match; with follow=true until"
        " the client disconnects or loses access"
    ),
)
async def app_log(
    request: HttpRequest,
    name: str,
    wanted: Query[WantedLines],
    *,
    lines: int = 100,
    follow: bool = False,
) -> StreamingHttpResponse:
    if follow and wanted.until is not None:
        raise ValueRefused(
            "A log that ends at a time cannot be followed.",
            hint="Leave out until or follow.",
            field="until",
        )
    app = await sync_to_async(app_for)(person_of(request), name)
    query = await sync_to_async(wanted.query_of)(app)
    text = _tail(
        app_logs.path_of(app),
        lines,
        query=query if query != LogQuery() else None,
        done=_access_check(request, app) if follow else None,
    )
    return StreamingHttpResponse(text, content_type="text/plain; charset=utf-8")


def _access_check(request: HttpRequest, app: App) -> Callable[[], Awaitable[bool]]:
    """Return a `done` for `follow`: it raises NotFound when the app was deleted or access was lost.

    Otherwise it returns False.

    The check is needed because the log is a file by the app's name, and another team may create an
    app with that name.
    """
    checked_at, token = time.monotonic(), request.headers.get("Authorization", "").partition(" ")[2]

    def look() -> None:
        person = person_of_token(token)
        if person is None or app_for(person, app.name).pk != app.pk:
            raise NotFound(f"App {app.name} does not exist, or you do not have access to it.")

    async def check() -> bool:
        nonlocal checked_at
        if time.monotonic() - checked_at >= _ACCESS_CHECK_SECONDS:
            checked_at = time.monotonic()
            await sync_to_async(look)()
        return False

    return check


async def _tail(
    path: Path,
    lines: int,
    *,
    query: LogQuery | None = None,
    done: Callable[[], Awaitable[bool]] | None = None,
) -> AsyncIterator[str]:
    """Yield the last lines (with a query: of those that match), and the next ones until `done`."""
    most = max(1, min(lines, _MOST_LINES))
    newest = app_logs.tail(path, 1)  # before the search, so that no line is missed
    if query is None:
        found = app_logs.tail(path, most)
    else:  # reads up to the whole log, so other requests go on meanwhile
        found = (await sync_to_async(search, thread_sensitive=False)(path, query, most)).lines
    for line in found:
        yield _text(line)
    if done:
        sent = {line.id for line in found}
        new = app_logs.follow(path, after=newest[0].id if newest else None, done=done)
        with suppress(NotFound):
            async for line in new:
                if line.id not in sent and (query is None or query.matches(line)):
                    yield _text(line)


async def _texts(lines: AsyncIterator[app_logs.LogLine]) -> AsyncIterator[str]:
    async for line in lines:
        yield _text(line)


def _text(line: app_logs.LogLine) -> str:
    when = (
        f"{line.at.isoformat(timespec='milliseconds')} {printable(line.source)} " if line.at else ""
    )
    return f"{when}{printable(line.text)}\n"
