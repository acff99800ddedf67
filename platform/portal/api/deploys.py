"""API operations for builds, releases and rollouts, and their logs as plain text."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from asgiref.sync import sync_to_async
from django.http import HttpRequest, StreamingHttpResponse
from ninja import File, Query, Router, Schema, Status
from ninja.files import UploadedFile

from portal.accounts.access import person_of_token
from portal.api.authentication import person_of
from portal.api.schemas import BuildOut, ReleaseOut, RequestSchema, RolloutOut
from portal.api.shapes import build_out, release_out, rollout_out
from portal.apps import logs as app_logs
from portal.apps.access import app_for
from portal.apps.health import current_check
from portal.apps.models import App
from portal.builds import logs as build_logs
from portal.builds.models import BuildState, Origin
from portal.builds.sources import store_upload
from portal.deploys.access import build_for, builds_of, repository_of
from portal.deploys.actions import (
    cancel,
    forget_repository,
    remember_repository,
    submit,
    submit_image,
    submit_repository,
)
from portal.errors import NotFound, ValueRefused
from portal.logs.query import Level, LogQuery, search
from portal.plaintext import printable
from portal.releases.access import releases_of, rollouts_of
from portal.releases.actions import retry_rollout, rollback

router = Router(tags=["deploys"])
_SHOWN = 50
_MOST_LINES = 10_000
_ACCESS_CHECK_SECONDS = 2.0  # interval of access checks while a client follows a log


class ImageIn(RequestSchema):
    """HOST/NAME:TAG as Docker accepts it, and credentials to pull it, which are stored encrypted
    until the build ends."""

    image: str
    username: str = ""
    password: str = ""


@router.post("/apps/{name}/builds", response={202: BuildOut}, summary="Deploy an archive")
def deploy(request: HttpRequest, name: str, archive: File[UploadedFile]) -> Status[BuildOut]:
    person = person_of(request)
    app = app_for(person, name)
    source = store_upload(archive, filename=archive.name or "")
    return Status(202, build_out(submit(person, app=app, source=source, origin=Origin.API)))


@router.post(
    "/apps/{name}/builds/image",
    response={202: BuildOut},
    summary="Deploy an image from another registry",
)
def deploy_image(request: HttpRequest, name: str, named: ImageIn) -> Status[BuildOut]:
    person = person_of(request)
    build = submit_image(
        person,
        app=app_for(person, name),
        reference=named.image,
        origin=Origin.API,
        username=named.username,
        password=named.password,
    )
    return Status(202, build_out(build))


class RepositoryIn(RequestSchema):
    """The address of a Git repository (https://HOST/PATH.git), a branch or tag (empty: the default
    branch), and a token that may read it. The app keeps them; the token is stored encrypted."""

    address: str
    branch: str = ""
    token: str | None = None  # null: the stored one, if the address is the same


class RepositoryOut(Schema):
    """The Git repository that an app is deployed from. The token is never shown."""

    address: str | None
    branch: str
    has_token: bool


@router.post(
    "/apps/{name}/builds/git",
    response={202: BuildOut},
    summary="Fetch the app's Git repository and deploy it",
)
def deploy_repository(
    request: HttpRequest, name: str, repository: RepositoryIn | None = None
) -> Status[BuildOut]:
    """With a body, the repository is set first. Without one, the stored one is fetched again."""
    person = person_of(request)
    app = app_for(person, name)
    if repository is not None:
        remember_repository(
            person,
            app=app,
            address=repository.address,
            branch=repository.branch,
            token=repository.token,
        )
    return Status(202, build_out(submit_repository(person, app=app, origin=Origin.API)))


@router.get(
    "/apps/{name}/repository",
    response=RepositoryOut,
    summary="The Git repository that an app is deployed from",
)
def show_repository(request: HttpRequest, name: str) -> RepositoryOut:
    found = repository_of(app_for(person_of(request), name))
    if found is None:
        return RepositoryOut(address=None, branch="", has_token=False)
    return RepositoryOut(address=found.address, branch=found.branch, has_token=found.has_token)


@router.delete(
    "/apps/{name}/repository", response={204: None}, summary="Remove the app's Git repository"
)
def remove_repository(request: HttpRequest, name: str) -> Status[None]:
    person = person_of(request)
    forget_repository(person, app=app_for(person, name))
    return Status(204, None)


@router.get("/apps/{name}/builds", response=list[BuildOut], summary="The latest builds")
def list_builds(request: HttpRequest, name: str) -> list[BuildOut]:
    return [build_out(build) for build in builds_of(app_for(person_of(request), name))[:_SHOWN]]


@router.get("/apps/{name}/builds/{number}", response=BuildOut, summary="One build")
def show_build(request: HttpRequest, name: str, number: int) -> BuildOut:
    return build_out(build_for(person_of(request), name, number))


@router.post("/apps/{name}/builds/{number}/cancel", response=BuildOut, summary="Stop a build")
def cancel_build(request: HttpRequest, name: str, number: int) -> BuildOut:
    person = person_of(request)
    build = build_for(person, name, number)
    cancel(person, build=build)
    build.refresh_from_db()
    return build_out(build)


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


@router.get(
    "/apps/{name}/releases", response=list[ReleaseOut], summary="All releases, newest first"
)
def list_releases(request: HttpRequest, name: str) -> list[ReleaseOut]:
    app = app_for(person_of(request), name)
    return [release_out(release, app) for release in releases_of(app)]


@router.post(
    "/apps/{name}/releases/{number}/rollback",
    response={202: RolloutOut},
    summary="Create a new release from an old one",
)
def roll_back(
    request: HttpRequest, name: str, number: int, config: Literal["current", "release"] = "current"
) -> Status[RolloutOut]:
    """`config`: keep today's config vars, or take those of the old release."""
    person, old = person_of(request), config == "release"
    rollout = rollback(person, app=app_for(person, name), number=number, with_old_config=old)
    return Status(202, rollout_out(rollout))


@router.post(
    "/apps/{name}/releases/{number}/again",
    response={202: RolloutOut},
    summary="Retry the rollout of the newest release after it failed",
)
def roll_out_again(request: HttpRequest, name: str, number: int) -> Status[RolloutOut]:
    person = person_of(request)
    return Status(202, rollout_out(retry_rollout(person, app=app_for(person, name), number=number)))


@router.get("/apps/{name}/rollouts", response=list[RolloutOut], summary="The latest rollouts")
def list_rollouts(request: HttpRequest, name: str) -> list[RolloutOut]:
    return [
        rollout_out(rollout) for rollout in rollouts_of(app_for(person_of(request), name))[:_SHOWN]
    ]


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
