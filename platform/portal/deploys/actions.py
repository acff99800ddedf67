"""Change builds. Uploads, git pushes and the API deploy through `submit`. The other functions are
for the workers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace

from django.db import transaction
from django.db.models.functions import Coalesce
from django.utils import timezone

from portal import events
from portal.accounts.access import require_member
from portal.accounts.models import Person
from portal.activity import audit
from portal.apps.models import App
from portal.apps.secrets import decrypt, encrypt, encrypt_config
from portal.builds.commits import Commit
from portal.builds.disk_space import check_room
from portal.builds.models import Build, BuildState, Repository, Source, SourceKind
from portal.errors import Conflict, SourceRefused
from portal.queue import Task, enqueue
from portal.quotas import decision
from portal.quotas.app_lock import lock_app
from portal.releases.actions import release_from_build
from portal.releases.models import Rollout
from runtime.contract.git_address import GitAddress, check_ref

# builds of one team that run or wait; all teams share the node's few build slots
MAX_OPEN_BUILDS = 20
MOST_TOKEN = 4096  # characters
MOST_ADDRESS = 255  # characters of a Git address with its branch
UNDER_WAY = (BuildState.QUEUED, BuildState.BUILDING)
# a rough check; the worker knows all rules
_REFERENCE = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9._:/@\[\]-]{0,254}", re.ASCII)
_BEFORE = {
    BuildState.BUILDING: UNDER_WAY,  # resumed after its worker was lost
    BuildState.SUCCEEDED: (BuildState.BUILDING,),
    BuildState.FAILED: UNDER_WAY,
    BuildState.CANCELLED: UNDER_WAY,
}


@transaction.atomic
def submit(
    actor: Person,
    *,
    app: App,
    source: Source,
    origin: str,
    description: str = "",
    commit: Commit | None = None,
) -> Build:
    """Deploy a source: check the team's quota and queue a build. A successful build makes a release
    and rolls it out.

    An older build of the app that waits or runs is cancelled, because its code would be replaced
    soon.
    """
    require_member(actor, app.team)
    check_room()
    decision.check_build(app.team, app)
    app = lock_app(app)
    older = list(Build.objects.filter(app=app, state__in=UNDER_WAY))
    if (
        Build.objects.filter(app__team=app.team_id, state__in=UNDER_WAY).count() - len(older)
        >= MAX_OPEN_BUILDS
    ):
        raise Conflict(
            f"Team {app.team.name} already has {MAX_OPEN_BUILDS} builds queued or running.",
            hint="Wait for one to end, or cancel one.",
        )
    words = (description or source.filename)[:200]
    build = Build.objects.create(
        app=app,
        source=source,
        origin=origin,
        description=words,
        commit=commit.id if commit else "",
        author=commit.author if commit else "",
        created_by=actor,
    )
    for replaced in older:
        _move(
            replaced,
            BuildState.CANCELLED,
            reason=f"Build {build.pk} replaced it.",
            finished_at=timezone.now(),
        )
    audit.record(actor, f"deployed {words}", app=app)
    enqueue(Task.BUILD, build.pk)
    events.announce(app.name, events.EventKind.BUILD)
    return build


@transaction.atomic
def submit_image(
    actor: Person, *, app: App, reference: str, origin: str, username: str = "", password: str = ""
) -> Build:
    """Deploy an image from another registry, named HOST/NAME:TAG. The credentials are deleted when
    the build ends."""
    if not _REFERENCE.fullmatch(reference):
        # The message does not repeat the text: it may be a pasted URL with a password.
        raise SourceRefused(
            "This is not a valid image name.",
            hint="Use a name like ghcr.io/me/app:1.2 or nginx:stable.",
        )
    if bool(username) != bool(password):
        raise SourceRefused(
            "A user name needs a password, and a password needs a user name.",
            hint="Give both, or neither for a public image.",
        )
    source, _ = Source.objects.get_or_create(
        digest=hashlib.sha256(reference.encode()).hexdigest(),
        filename=reference,
        defaults={"size": 0, "kind": SourceKind.REFERRED},
    )
    build = submit(actor, app=app, source=source, origin=origin, description=f"image {reference}")
    if username:
        build.encrypted_credentials = encrypt_config({"username": username, "password": password})
        build.save(update_fields=("encrypted_credentials",))
    return build


@transaction.atomic
def remember_repository(
    actor: Person, *, app: App, address: str, branch: str = "", token: str | None = None
) -> Repository:
    """Set the Git repository that the app is deployed from. `token` None keeps the present one if
    the address is the same; an empty one removes it. Raise SourceRefused if the address is
    malformed."""
    require_member(actor, app.team)
    found = _address(address, branch)
    if token and (len(token) > MOST_TOKEN or not token.isprintable()):
        raise SourceRefused(
            "The token is too long or has characters that a token cannot have.",
            hint="Copy it again.",
        )
    app = lock_app(app)
    row = Repository.objects.filter(app=app).first() or Repository(app=app)
    if token is not None or row.address != found.url:
        row.encrypted_token = encrypt(token) if token else None
    if (row.address, row.branch) != (found.url, branch):
        audit.record(actor, f"set the Git repository to {found}", app=app)
    row.address, row.branch = found.url, branch
    row.save()
    return row


@transaction.atomic
def forget_repository(actor: Person, *, app: App) -> None:
    """Remove the app's Git repository and its token."""
    require_member(actor, app.team)
    if Repository.objects.filter(app=app).delete()[0]:
        audit.record(actor, "removed the Git repository", app=app)


@transaction.atomic
def submit_repository(actor: Person, *, app: App, origin: str) -> Build:
    """Fetch the app's Git repository again, and deploy it."""
    require_member(actor, app.team)
    row = Repository.objects.filter(app=app).first()
    if row is None:
        raise SourceRefused(
            f"App {app.name} has no Git repository.", hint="Give the address of one first."
        )
    name = str(_address(row.address, row.branch))
    source, _ = Source.objects.get_or_create(
        digest=hashlib.sha256(name.encode()).hexdigest(),
        filename=name,
        defaults={"size": 0, "kind": SourceKind.GIT},
    )
    build = submit(actor, app=app, source=source, origin=origin, description=name)
    if row.encrypted_token:
        build.encrypted_credentials = encrypt_config({"token": decrypt(row.encrypted_token)})
        build.save(update_fields=("encrypted_credentials",))
    return build


def _address(address: str, branch: str) -> GitAddress:
    try:
        found = GitAddress.parse(address)
        if found.ref or found.folder:
            raise ValueError("write the branch in its own field, without `#`")
        found = replace(found, ref=check_ref(branch))
    except ValueError as error:
        # The message does not repeat the text: it may have a password.
        raise SourceRefused(f"This Git address cannot be used: {error}.") from None
    if len(str(found)) > MOST_ADDRESS:
        raise SourceRefused(
            f"The address and branch together have more than {MOST_ADDRESS} characters."
        )
    return found


@transaction.atomic
def cancel(actor: Person, *, build: Build) -> None:
    """Stop a build that is queued or running. The worker notices within a second."""
    require_member(actor, build.app.team)
    if not _move(
        build,
        BuildState.CANCELLED,
        reason=f"{actor.username} cancelled it.",
        finished_at=timezone.now(),
    ):
        raise Conflict(f"Build {build.pk} has already ended.")
    audit.record(actor, f"cancelled build {build.pk}", app=build.app)


def set_commit(build: Build, commit: Commit) -> None:
    """Record the commit that a worker fetched."""
    Build.objects.filter(pk=build.pk).update(commit=commit.id, author=commit.author)
    events.announce(build.app.name, events.EventKind.BUILD)


@transaction.atomic
def mark_building(build: Build) -> bool:
    """Mark the build as running, also after its worker was lost. Return False if the build has
    ended."""
    return _move(build, BuildState.BUILDING, started_at=Coalesce("started_at", timezone.now()))


@transaction.atomic
def succeed(
    build: Build,
    image: str,
    processes: Mapping[str, str],
    app_file: Mapping[str, object] | None = None,
) -> Rollout | None:
    """Make the release of a successful build.

    Return None if the build was cancelled in the meantime or a later build was released first.
    """
    if not _move(
        build,
        BuildState.SUCCEEDED,
        image=image,
        processes=dict(processes),
        app_file=dict(app_file or {}),
        finished_at=timezone.now(),
    ):
        return None
    build.refresh_from_db()
    return release_from_build(build)


@transaction.atomic
def fail(build: Build, reason: str) -> bool:
    """Mark the build as failed. Return False if it has already ended."""
    failed = _move(build, BuildState.FAILED, reason=reason, finished_at=timezone.now())
    if failed:
        audit.record(None, f"build {build.pk} failed: {reason}", app=build.app)
    return failed


def _move(build: Build, state: BuildState, **values: object) -> bool:
    """Change the state by compare and swap. Losing the race is normal."""
    if state.is_over:
        values["encrypted_credentials"] = None
    moved = (
        Build.objects.filter(pk=build.pk, state__in=_BEFORE[state]).update(state=state, **values)
        == 1
    )
    if moved:
        events.announce(build.app.name, events.EventKind.BUILD)
    return moved
