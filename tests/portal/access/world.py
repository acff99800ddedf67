"""Real objects of one team, a person for each role, and requests in their names through Django's
whole stack."""

from __future__ import annotations

import contextlib
import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.forms import BaseForm
from django.http import HttpResponseBase
from django.test import AsyncClient, Client
from django.utils import timezone

from portal.accounts.models import Person, Team
from portal.apps.models import App
from portal.builds.models import Build, BuildState
from portal.events import client
from portal.http.request_bodies import UNREAD
from portal.images.models import ImageJob, JobKind, JobState
from portal.jobs.models import Run
from portal.lifecycle.account_actions import add_member, create_person, create_token
from portal.metrics import exposition
from portal.metrics.exposition import AppCounts, RequestCounts
from portal.registry import blob_store, uploads
from portal.registry.models import Attachment
from portal.releases.models import Release
from portal.traffic.actions import admit
from portal.volumes import jobs as volume_jobs
from portal.volumes.models import VolumeJob
from tests.portal.access.rules import Outcome, Role
from tests.portal.access.table import Route
from tests.portal.images import config, digest_of, manifest
from tests.portal.pages import fleet, fleet_volumes

EMPTY = f"sha256:{hashlib.sha256(b'').hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    people: Mapping[Role, Person]
    tokens: Mapping[Role, str]
    # Of the registry: an upload, which a call may end, and a blob, which a call may delete. A
    # rollback does not restore a file.
    upload: Path
    spare: Path
    values: Mapping[str, object]  # the values for the braces in a route's path

    def path_of(self, route: Route) -> str:
        path = route.path
        for name, value in self.values.items():
            path = path.replace(f"{{{name}}}", str(value))
        return path


@contextlib.contextmanager
def made() -> Iterator[World]:
    """Create the sample portal, one person per role, and one of each object that a route needs."""
    fleet.fill()
    admin, owner, other = (
        Person.objects.get(username=name) for name in ("admin", "member", "newcomer")
    )
    harbour, shop = Team.objects.get(name="harbour"), App.objects.get(name="shop")
    loner = create_person(admin, username="loner", password=fleet.PASSWORD)
    member = create_person(admin, username="deckhand", password=fleet.PASSWORD, team=harbour)
    create_person(admin, username="bosun", password=fleet.PASSWORD, team=harbour)
    # in no team
    warden = create_person(admin, username="warden", password=fleet.PASSWORD, admin=True)
    add_member(owner, team=harbour, username="deckhand")
    people = {
        Role.LONER: loner,
        Role.OTHER: other,
        Role.MEMBER: member,
        Role.OWNER: owner,
        Role.ADMIN: warden,
    }
    admit(owner, app=shop, name="guest", password="a long password")
    run, save = Run.objects.filter(app=shop).order_by("pk").first(), _saved(shop)
    files = [settings.DOWNLOADS / f"{save.pk}.tar"]
    layer, image_config = b"a layer" * 100, config()
    image = manifest(image_config, layer)
    files += [
        blob_store.received(harbour.pk, blob_store.keep(harbour.pk, data))
        for data in (layer, image_config, image)
    ]
    upload = uploads.begin(shop)
    signature = blob_store.keep(harbour.pk, b'{"a": "signature"}')
    Attachment.objects.create(
        app=shop, digest=signature, media_type="application/json", size=18, blobs=[signature]
    )
    assert run is not None
    client().hset(
        exposition.KEY,
        "docs-site",
        msgspec.json.encode(AppCounts(requests=RequestCounts(classes={"2xx": 1}))),
    )
    volumes = fleet_volumes.fill(shop)
    files.append(volume_jobs.archive_of(VolumeJob.objects.get(pk=volumes["download"])))
    values = {
        **volumes,
        "token": create_token(owner, label="to revoke")[0].pk,
        "build": Build.objects.get(app__name="chat", state=BuildState.BUILDING).pk,
        "release": Release.objects.filter(app=shop).order_by("-number")[0].number,
        "run": run.pk,
        "save": save.pk,
        "upload": upload,
        "empty": EMPTY,
        "blob": digest_of(layer),
        "manifest": digest_of(image),
        "attached": f"sha256:{signature}",
    }
    try:
        yield World(
            people=people,
            upload=next(blob_store.UPLOADS.glob(f"*{upload}")),
            spare=blob_store.received(harbour.pk, EMPTY.removeprefix("sha256:")),
            tokens={role: create_token(person, label="walk")[1] for role, person in people.items()},
            values=values,
        )
    finally:
        for path in (*files, *blob_store.UPLOADS.iterdir(), *blob_store.RECEIVED.iterdir()):
            path.unlink(missing_ok=True)


def _saved(app: App) -> ImageJob:
    job = ImageJob.objects.create(
        app=app,
        kind=JobKind.SAVE,
        about="",
        state=JobState.DONE,
        result={"filename": "shop.tar", "bytes": 3},
        finished_at=timezone.now(),
    )
    Path(settings.DOWNLOADS).mkdir(parents=True, exist_ok=True)
    (settings.DOWNLOADS / f"{job.pk}.tar").write_bytes(b"tar")
    return job


def call(world: World, route: Route, role: Role, *, method: str = "") -> HttpResponseBase:
    """Send the route's request as a person of this role: with a session to pages, with a token to
    everything else."""
    method, path = method or route.method, world.path_of(route)
    token = world.tokens.get(role, "")
    if route.pattern.startswith(("api/", "metrics")):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if route.file:
            archive = SimpleUploadedFile("shop.zip", b"an archive")
            return Client(raise_request_exception=False, headers=headers).post(
                path, {"archive": archive}
            )
        body = json.dumps(route.body) if method not in ("GET", "HEAD") else ""
        return Client(raise_request_exception=False, headers=headers).generic(
            method, path, body, content_type="application/json"
        )
    if route.pattern.startswith(("v2/", "^git/", "git/")):
        world.upload.touch()
        world.spare.touch()
        basic = (
            {"Authorization": f"Basic {b64encode(f'any:{token}'.encode()).decode()}"}
            if token
            else {}
        )
        return _streamed(method, path, route.raw or b"", basic)
    browser = Client(raise_request_exception=False)
    if role in world.people:
        browser.force_login(world.people[role])
    return browser.post(path, route.body) if method == "POST" else browser.generic(method, path)


def _streamed(method: str, path: str, body: bytes, headers: dict[str, str]) -> HttpResponseBase:
    """Send a body in the way in which the portal's handler passes it to git and the registry."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return messages.pop()

    class Streaming(AsyncClient):
        def _base_scope(self, **request: Any) -> dict[str, Any]:
            return {**super()._base_scope(**request), UNREAD: receive}

    return async_to_sync(Streaming(raise_request_exception=False).generic)(
        method, path, body, headers=headers
    )


def stream_of(world: World, route: Route, role: Role, url: str) -> Outcome | str:
    """Return what an event stream of a listening portal sends first."""
    browser = Client()
    if role in world.people:
        browser.force_login(world.people[role])
    cookies = {name: morsel.value for name, morsel in browser.cookies.items()}
    with httpx.stream("GET", f"{url}{world.path_of(route)}", cookies=cookies, timeout=20) as answer:
        if answer.status_code != 200:
            return Outcome.NO if answer.status_code == 403 else str(answer.status_code)
        first = next(line for line in answer.iter_lines() if line.startswith("event: "))
    return Outcome.NOT_FOUND if first == "event: gone" else Outcome.YES


def outcome_of(response: HttpResponseBase, lists: str = "") -> Outcome | str:
    """Classify a response. A status that is not expected is returned itself."""
    status = response.status_code
    if status in (301, 302) and response["Location"].startswith("/sign-in?next="):
        return Outcome.SIGN_IN
    if status in (302, 303):
        request = getattr(response, "wsgi_request", None)
        errors = (
            [str(message) for message in get_messages(request) if message.level_tag == "error"]
            if request
            else []
        )
        return Outcome.NOTICE if any("Only an" in error for error in errors) else Outcome.YES
    if status == 422 and "Only an owner" in str([form.errors for form in _forms(response)]):
        return Outcome.NOTICE
    refused = {401: Outcome.UNKNOWN, 403: Outcome.NO, 404: Outcome.NOT_FOUND}
    if status in refused:
        return refused[status]
    if status >= 500 or status == 405:
        return str(status)
    return Outcome.OWN if lists and lists not in response.content.decode() else Outcome.YES


def _forms(response: Any) -> list[BaseForm]:
    contexts = [part for context in response.context or () for part in context]
    return [value for part in contexts for value in part.values() if isinstance(value, BaseForm)]
