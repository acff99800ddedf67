"""API operations for builds, releases and rollouts."""

from __future__ import annotations

from typing import Literal

from django.http import HttpRequest
from ninja import File, Router, Schema, Status
from ninja.files import UploadedFile

from portal.api.authentication import person_of
from portal.api.schemas import BuildOut, ReleaseOut, RequestSchema, RolloutOut
from portal.api.shapes import build_out, release_out, rollout_out
from portal.apps.access import app_for
from portal.builds.models import Origin
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
from portal.releases.access import releases_of, rollouts_of
from portal.releases.actions import retry_rollout, rollback

router = Router(tags=["deploys"])
_SHOWN = 50


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
