"""Change releases and rollouts. A release is numbered and its rollout queued in one transaction,
under the app's lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from portal import events
from portal.accounts.access import require_admin, require_member
from portal.accounts.models import Person
from portal.activity import audit
from portal.apps import secrets
from portal.apps.config import config_of, write_config
from portal.apps.declared import Declared
from portal.apps.defaults import set_defaults
from portal.apps.models import App
from portal.builds.models import Build, BuildState
from portal.errors import Conflict, NotFound, QuotaExceeded, Refused
from portal.queue import Task, enqueue
from portal.quotas.app_lock import lock_app
from portal.releases import missing_config
from portal.releases.access import (
    OPEN,
    config_of_release,
    intended_release,
    kept_releases,
    release_of,
)
from portal.releases.formation import RELEASE_PHASE, check_quota_again, set_formation
from portal.releases.models import FAILURES, Release, Rollout, RolloutState
from portal.volumes.adoption import adopt_volumes

__all__ = ["RELEASE_PHASE"]  # re-exported with the other names of process types

_BEFORE = {  # a rollout only moves forward; any open rollout may end
    RolloutState.RELEASING: (RolloutState.PENDING, RolloutState.RELEASING),
    RolloutState.LAUNCHING: OPEN,
    RolloutState.LIVE: OPEN,
    RolloutState.FAILED: OPEN,
    RolloutState.ROLLED_BACK: OPEN,
    RolloutState.SUPERSEDED: OPEN,
}


@transaction.atomic
def release_from_build(build: Build) -> Rollout | None:
    """Make the release of a successful build.

    Return None if the app was deleted, or a later build was released first.
    """
    try:
        app = lock_app(build.app)
    except NotFound:
        return None
    if Release.objects.filter(
        app=app, build__id__gt=build.pk, build__state=BuildState.SUCCEEDED
    ).exists():
        return None
    declared = Declared.of(build.app_file)
    config, notes = set_defaults(app, declared.variables)
    if notes:
        audit.record(
            build.created_by, f"set config vars from {declared.file}: {'; '.join(notes)}", app=app
        )
    return make_release(
        app,
        image=build.image,
        config=config,
        processes=build.processes,
        description=f"Deploy {build.description}".strip(),
        actor=build.created_by,
        build=build,
        app_file=build.app_file,
        notes=notes,
        adopts_volumes=True,
    )


@transaction.atomic
def rollback(actor: Person, *, app: App, number: int, with_old_config: bool = False) -> Rollout:
    """Make a new release with the image and process types of an old one, and roll it out.

    It has today's config vars, or with `with_old_config` those of the old release.
    """
    require_member(actor, app.team)
    app = lock_app(app)
    old = release_of(app, number)
    if (
        app.current_release_id == old.pk
        and not Rollout.objects.filter(release__app=app, state__in=OPEN).exists()
    ):
        raise Conflict(f"v{number} is already live.", hint="Choose an earlier release.")
    if old.image not in {release.image for release in kept_releases(app)}:
        raise Conflict(
            f"The image of v{number} has been deleted. Only the images of the last"
            f" {settings.KEPT_RELEASES} releases are kept.",
            hint="Deploy its source again.",
        )
    config = config_of(app)
    if with_old_config:
        config = config_of_release(old)
        write_config(app, config)
    with_config = " with its config vars" if with_old_config else ""
    audit.record(actor, f"rolled back to v{number}{with_config}", app=app)
    return make_release(
        app,
        image=old.image,
        config=config,
        processes=old.processes,
        description=f"Roll back to v{number}",
        actor=actor,
        build=old.build,
        app_file=old.app_file,
    )


@transaction.atomic
def retry_rollout(actor: Person, *, app: App, number: int) -> Rollout:
    """Retry the rollout of the newest release after it failed, including its release phase. The
    cause may have been fixed."""
    require_member(actor, app.team)
    app = lock_app(app)
    release = release_of(app, number)
    last = Rollout.objects.filter(release=release).order_by("-id").first()
    if last is None or not RolloutState(last.state).has_failed:
        raise Conflict(f"v{number} has not failed.", hint="Check the state of its rollout.")
    if Release.objects.filter(app=app, number__gt=number).exists():
        raise Conflict(
            f"v{number} is not the newest release.",
            hint="Deploy again, or roll back to a release that was live.",
        )
    if missing := release.declared.lacks(config_of_release(release)):
        raise Conflict(
            missing_config.explain(release, missing).partition("\n")[0],
            hint="Set the config var. This creates a new release.",
        )
    check_quota_again(app)
    audit.record(actor, f"retried the rollout of v{number}", app=app)
    rollout = Rollout.objects.create(release=release)
    enqueue(Task.ROLL_OUT, rollout.pk)
    events.announce(app.name, events.EventKind.ROLLOUT)
    return rollout


@transaction.atomic
def request_upgrade(actor: Person, *, app: App | None = None) -> int:
    """Queue a move of one app, or of all apps, to the newest version of their stack. Return the
    number of apps.

    An app is only moved if that is safe.
    """
    require_admin(actor)
    apps = (
        [app]
        if app is not None
        else list(App.objects.filter(deleted_at=None, releases__isnull=False).distinct())
    )
    for upgraded in apps:
        enqueue(Task.UPGRADE_STACK, upgraded.pk, actor.pk)
    audit.record(
        actor,
        (
            "requested the newest version of its stack"
            if app
            else "requested the newest stack for all apps"
        ),
        app=app,
    )
    return len(apps)


@transaction.atomic
def exchange_image(
    actor: Person | None, *, app: App, of: Release, image: str, description: str
) -> Rollout:
    """Make a release like `of` with an image that has other base layers but the same function.

    Raise Conflict if the app got a newer release in the meantime.
    """
    app = lock_app(app)
    if (meant := intended_release(app)) is None or meant.pk != of.pk:
        raise Conflict(
            f"{app.name} got a newer release than v{of.number} in the meantime.",
            hint="Request the upgrade again.",
        )
    return make_release(
        app,
        image=image,
        config=config_of_release(of),
        processes=of.processes,
        description=description,
        actor=actor,
        build=of.build,
        app_file=of.app_file,
    )


@transaction.atomic
def record_upgrade(app: App, text: str) -> None:
    """Record in the app's history why an upgrade was not done."""
    audit.record(None, text, app=app)


def make_release(
    app: App,
    *,
    image: str,
    config: Mapping[str, str],
    processes: Mapping[str, str],
    description: str,
    actor: Person | None,
    build: Build | None,
    app_file: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    adopts_volumes: bool = False,
) -> Rollout:
    """Number a release, supersede an open rollout, and queue the new rollout. The caller holds
    `lock_app`.

    The rollout fails immediately if a config var that the manifest requires has no value, or if the
    quota allows no instance of `web`. It also fails if a volume of the manifest is refused. An open
    rollout then continues.
    """
    number = (Release.objects.filter(app=app).aggregate(last=Max("number"))["last"] or 0) + 1
    release = Release.objects.create(
        app=app,
        number=number,
        image=image,
        build=build,
        encrypted_config=secrets.encrypt_config(config),
        processes=dict(processes),
        app_file=dict(app_file or {}),
        description=description[:200],
        created_by=actor,
    )
    audit.record(actor, f"made v{number}: {description}", app=app)
    if missing := release.declared.lacks(config):
        return _failed_rollout(release, notes, missing_config.explain(release, missing))
    try:
        chosen = set_formation(app, processes, release.declared)
    except QuotaExceeded as refusal:
        return _failed_rollout(release, notes, f"web cannot start: {refusal}")
    try:
        made = adopt_volumes(app, release.declared) if adopts_volumes else []
    except Refused as refusal:
        return _failed_rollout(release, notes, f"A volume is missing: {refusal.explain()}")
    supersede_open_rollouts(app, reason=f"v{number} replaced it.")
    rollout = Rollout.objects.create(
        release=release, steps=[_step(text) for text in (*notes, *chosen, *made)]
    )
    enqueue(Task.ROLL_OUT, rollout.pk)
    events.announce(app.name, events.EventKind.RELEASE)
    return rollout


def _failed_rollout(release: Release, notes: Sequence[str], reason: str) -> Rollout:
    rollout = Rollout.objects.create(release=release, steps=[_step(text) for text in notes])
    finish_failed(rollout, reason)
    rollout.refresh_from_db()
    return rollout


def supersede_open_rollouts(app: App, *, reason: str) -> None:
    """End open rollouts. The live release keeps serving."""
    Rollout.objects.filter(release__app=app, state__in=OPEN).update(
        state=RolloutState.SUPERSEDED, reason=reason, finished_at=timezone.now()
    )
    events.announce(app.name, events.EventKind.ROLLOUT)


@transaction.atomic
def advance(rollout: Rollout, state: RolloutState) -> bool:
    """Move on to RELEASING or LAUNCHING. Return False if the rollout has ended, because a newer one
    replaced it."""
    moved = Rollout.objects.filter(pk=rollout.pk, state__in=_BEFORE[state]).update(state=state) == 1
    if moved:
        events.announce(rollout.release.app.name, events.EventKind.ROLLOUT)
    return moved


@transaction.atomic
def add_step(rollout: Rollout, text: str) -> None:
    """Append a sentence to the steps, unless it is the same as the last one."""
    row = Rollout.objects.select_for_update().get(pk=rollout.pk)
    if not row.steps or row.steps[-1]["text"] != text:
        Rollout.objects.filter(pk=row.pk).update(steps=[*row.steps, _step(text)])
        events.announce(rollout.release.app.name, events.EventKind.ROLLOUT)


@transaction.atomic
def finish_failed(rollout: Rollout, reason: str, *, rolled_back: bool = False) -> bool:
    """End the rollout as failed. The live release keeps serving. Return False if the rollout had
    already ended."""
    state = RolloutState.ROLLED_BACK if rolled_back else RolloutState.FAILED
    failed = end_rollout(rollout, state, reason=reason)
    if failed:
        audit.record(
            None, f"v{rollout.release.number} {FAILURES[state]}: {reason}", app=rollout.release.app
        )
    return failed


def end_rollout(rollout: Rollout, state: RolloutState, *, reason: str) -> bool:
    """Move the rollout to a final state. Return False if it has already ended."""
    row = Rollout.objects.filter(pk=rollout.pk, state__in=_BEFORE[state])
    if row.update(state=state, reason=reason, finished_at=timezone.now()) == 0:
        return False
    events.announce(rollout.release.app.name, events.EventKind.ROLLOUT)
    return True


def _step(text: str) -> dict[str, str]:
    return {"at": timezone.now().isoformat(timespec="milliseconds"), "text": text}
