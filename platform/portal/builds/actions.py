"""Writes to builds. Upload, git push and API all deploy through `submit`; the rest is for the workers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from django.db import transaction
from django.db.models.functions import Coalesce
from django.utils import timezone

from portal.accounts.access import require_member
from portal.accounts.models import Person
from portal.activity import audit, events
from portal.apps.models import App
from portal.apps.secrets import encrypt_config
from portal.builds.models import Build, BuildState, Source, SourceKind
from portal.builds.room import check_room
from portal.errors import Conflict, SourceRefused
from portal.queue import Task, enqueue
from portal.quotas import decision
from portal.releases.actions import lock_app, release_from_build
from portal.releases.models import Rollout

MOST_UNDER_WAY = 20  # builds of one team that run or wait; all teams share the node's few places to build
UNDER_WAY = (BuildState.QUEUED, BuildState.BUILDING)
_REFERENCE = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._:/@\[\]-]{0,254}", re.ASCII)  # the worker knows all the rules
_BEFORE = {
    BuildState.BUILDING: UNDER_WAY,  # taken up again after its worker was lost
    BuildState.SUCCEEDED: (BuildState.BUILDING,),
    BuildState.FAILED: UNDER_WAY,
    BuildState.CANCELLED: UNDER_WAY,
}


@transaction.atomic
def submit(actor: Person, *, app: App, source: Source, origin: str, description: str = "") -> Build:
    """Deploy a source: check the team's quota and queue a build, which on success makes a release and rolls it out.

    An older build of the app that waits or runs is ended: its code would be replaced at once.
    """
    require_member(actor, app.team)
    check_room()
    decision.check_build(app.team, app)
    app = lock_app(app)
    older = list(Build.objects.filter(app=app, state__in=UNDER_WAY))
    if Build.objects.filter(app__team=app.team_id, state__in=UNDER_WAY).count() - len(older) >= MOST_UNDER_WAY:
        raise Conflict(f"Team {app.team.name} has {MOST_UNDER_WAY} builds under way.", hint="Wait for one to end, or cancel one.")
    words = (description or source.filename)[:200]
    build = Build.objects.create(app=app, source=source, origin=origin, description=words, created_by=actor)
    for overtaken in older:
        _move(overtaken, BuildState.CANCELLED, reason=f"Build {build.pk} took its place.", finished_at=timezone.now())
    audit.record(actor, f"deployed {words}", app=app)
    enqueue(Task.BUILD, build.pk)
    events.announce(app.name, events.Kind.BUILD)
    return build


@transaction.atomic
def submit_image(actor: Person, *, app: App, reference: str, origin: str, username: str = "", password: str = "") -> Build:
    """Deploy an image that another registry has under HOST/NAME:TAG. The credentials last as long as the build."""
    if not _REFERENCE.fullmatch(reference):
        # Not repeated: somebody may have pasted an address with a password in it.
        raise SourceRefused("That is no name of an image.", hint="Name it like ghcr.io/me/app:1.2 or nginx:stable.")
    if bool(username) != bool(password):
        raise SourceRefused("A user name and a password go together.", hint="Give both, or none for an image that anybody may pull.")
    source, _ = Source.objects.get_or_create(
        digest=hashlib.sha256(reference.encode()).hexdigest(), filename=reference, defaults={"size": 0, "kind": SourceKind.REFERRED}
    )
    build = submit(actor, app=app, source=source, origin=origin, description=f"image {reference}")
    if username:
        build.encrypted_credentials = encrypt_config({"username": username, "password": password})
        build.save(update_fields=("encrypted_credentials",))
    return build


@transaction.atomic
def cancel(actor: Person, *, build: Build) -> None:
    """Stop a build that is queued or running; the worker sees it within a second."""
    require_member(actor, build.app.team)
    if not _move(build, BuildState.CANCELLED, reason=f"{actor.username} cancelled it.", finished_at=timezone.now()):
        raise Conflict(f"Build {build.pk} is over already.")
    audit.record(actor, f"cancelled build {build.pk}", app=build.app)


@transaction.atomic
def mark_building(build: Build) -> bool:
    """A worker begins, or begins again. False when the build is over: cancelled, or done by another."""
    return _move(build, BuildState.BUILDING, started_at=Coalesce("started_at", timezone.now()))


@transaction.atomic
def succeed(build: Build, image: str, processes: Mapping[str, str], app_file: Mapping[str, object] | None = None) -> Rollout | None:
    """The image is in the store: make its release. None when the build was cancelled meanwhile or a later one was released first."""
    if not _move(
        build, BuildState.SUCCEEDED, image=image, processes=dict(processes), app_file=dict(app_file or {}), finished_at=timezone.now()
    ):
        return None
    build.refresh_from_db()
    return release_from_build(build)


@transaction.atomic
def fail(build: Build, reason: str) -> bool:
    """It did not work out, and this is why. False when it was over already."""
    failed = _move(build, BuildState.FAILED, reason=reason, finished_at=timezone.now())
    if failed:
        audit.record(None, f"build {build.pk} failed: {reason}", app=build.app)
    return failed


def _move(build: Build, state: BuildState, **values: object) -> bool:
    """Compare and swap; losing the race is a normal outcome."""
    if state.is_over:
        values["encrypted_credentials"] = None
    moved = Build.objects.filter(pk=build.pk, state__in=_BEFORE[state]).update(state=state, **values) == 1
    if moved:
        events.announce(build.app.name, events.Kind.BUILD)
    return moved
