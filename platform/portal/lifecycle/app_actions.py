"""Change apps: create, configure, scale, restart, set the health check, delete."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from portal import events, repositories
from portal.accounts.access import require_member
from portal.accounts.models import Person, Team
from portal.activity import audit
from portal.apps import logs as app_logs
from portal.apps.branches import checked_branch
from portal.apps.config import config_of, make_secret, show_while_building, write_config
from portal.apps.defaults import LARGEST_CONFIG
from portal.apps.health import describe, health_of
from portal.apps.health_validation import check_command, checked
from portal.apps.models import App, HealthSettings, ProcessFormation
from portal.apps.names import check_app_name
from portal.apps.sizes import Size
from portal.builds import logs as build_logs
from portal.builds.models import Build, BuildState
from portal.errors import Conflict, NotFound, ValueRefused
from portal.lifecycle.app_identity import check_former_names, name_taken
from portal.queue import Task, enqueue
from portal.quotas import decision
from portal.quotas.app_lock import lock_app
from portal.releases.access import intended_release, release_waiting_for
from portal.releases.actions import make_release, supersede_open_rollouts
from portal.releases.models import Release
from portal.traffic.access import WEB, traffic_of
from portal.volumes import actions as volumes

LONGEST_VALUE = 32 * 2**10
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OURS = ("PORT",)  # the node sets these for each instance


@transaction.atomic
def create_app(actor: Person, *, team: Team, name: str) -> App:
    """Create an app without a release. Its hostname immediately answers that nothing is
    deployed."""
    require_member(actor, team)
    name = check_app_name(name)
    decision.check_new_app(team)
    try:
        with transaction.atomic():
            app = App.objects.create(team=team, name=name)
    except IntegrityError:
        raise name_taken(name) from None
    check_former_names(name)
    audit.record(actor, f"created the app {name}", app=app)
    enqueue(Task.CONVERGE, app.pk)
    events.announce(app.name, events.EventKind.APP)
    return app


@transaction.atomic
def set_config_vars(
    actor: Person,
    *,
    app: App,
    changes: Mapping[str, str | None],
    while_building: Mapping[str, bool] | None = None,
    secret: Collection[str] = (),
) -> Release | None:
    """Set config vars, and unset those whose value is None.

    A deployed app gets a new release with the changes, which is returned. `while_building` sets by
    name whether build steps see a variable. `secret` has names whose values are write-only from
    now on. Neither changes a release.
    """
    require_member(actor, app.team)
    app = lock_app(app)
    before = config_of(app)
    config = {
        name: value for name, value in {**before, **_checked(changes)}.items() if value is not None
    }
    if sum(len(name) + len(value.encode()) for name, value in config.items()) > LARGEST_CONFIG:
        raise ValueRefused(
            f"All config vars together would be larger than {LARGEST_CONFIG // 1024} KiB.",
            field="value",
            hint="Store data in a file.",
        )
    if unknown := sorted({*(while_building or {}), *secret} - config.keys()):
        raise NotFound(f"{app.name} has no config var {unknown[0]}.", hint="Set its value first.")
    if config != before:
        write_config(app, config)
    if shown := show_while_building(app, while_building or {}):
        audit.record(actor, f"changed whether builds see {', '.join(sorted(shown))}", app=app)
    if hidden := make_secret(app, secret):
        audit.record(actor, f"made {', '.join(hidden)} secret", app=app)
    if config == before:
        return None
    text = _describe(before, config)
    audit.record(actor, text, app=app)
    events.announce(app.name, events.EventKind.CONFIG)
    latest = release_waiting_for(app, config) or intended_release(app)
    if latest is None:
        return None
    rollout = make_release(
        app,
        image=latest.image,
        config=config,
        processes=latest.processes,
        description=text[0].upper() + text[1:],
        actor=actor,
        build=latest.build,
        app_file=latest.app_file,
    )
    return rollout.release


@transaction.atomic
def scale(actor: Person, *, app: App, sizes: Mapping[str, Size]) -> None:
    """Set the count and size of some process types. The others do not change."""
    require_member(actor, app.team)
    app = lock_app(app)
    rows = {row.process: row for row in ProcessFormation.objects.filter(app=app)}
    for process, size in sizes.items():
        if process not in rows:
            known = ", ".join(sorted(rows))
            hint = f"It has {known}." if known else "The first deploy creates the process types."
            raise NotFound(f"{app.name} has no process type {process}.", hint=hint)
        size.check(process)
    _check_autoscaled(app, rows, sizes)
    decision.check_formation(app.team, app, sizes)
    changed = {process: size for process, size in sizes.items() if Size.of(rows[process]) != size}
    for process, size in changed.items():
        values = {
            name: getattr(size, name) for name in ("count", "cpu", "memory", "processes", "disk")
        }
        ProcessFormation.objects.filter(pk=rows[process].pk).update(**values, by_person=True)
    if changed:
        audit.record(
            actor,
            "scaled "
            + "; ".join(f"{process} to {size.describe()}" for process, size in changed.items()),
            app=app,
        )
        enqueue(Task.CONVERGE, app.pk)
        events.announce(app.name, events.EventKind.FORMATION)


@transaction.atomic
def restart(actor: Person, *, app: App) -> None:
    """Replace all instances one after the other, without downtime."""
    require_member(actor, app.team)
    app = lock_app(app)
    if app.current_release_id is None:
        raise Conflict(f"{app.name} has no running instances.", hint="Deploy it first.")
    App.objects.filter(pk=app.pk).update(generation=F("generation") + 1)
    audit.record(actor, "restarted the app", app=app)
    enqueue(Task.CONVERGE, app.pk)
    events.announce(app.name, events.EventKind.APP)


@transaction.atomic
def set_deploy_branch(actor: Person, *, app: App, branch: str) -> App:
    """Set the branch whose pushes deploy. An empty one means main and master. Return the app."""
    require_member(actor, app.team)
    app, name = lock_app(app), checked_branch(branch)
    if name != app.deploy_branch:
        app.deploy_branch = name
        app.save(update_fields=("deploy_branch",))
        audit.record(actor, f"set the deployed branch to {name or 'main or master'}", app=app)
        events.announce(app.name, events.EventKind.APP)
    return app


@transaction.atomic
def set_health(actor: Person, *, app: App, changes: Mapping[str, object]) -> None:
    """Set parts of the app's own health check. None sets the default value; other parts do not
    change.

    The check applies to instances that start from now on. Running instances keep their check.
    """
    require_member(actor, app.team)
    app, values = lock_app(app), checked(changes)
    before = health_of(app)
    if not values or (
        before is not None
        and all(getattr(before, field) == value for field, value in values.items())
    ):
        return
    row = before or HealthSettings(app=app)
    for field, value in values.items():
        setattr(row, field, value)
    check_command(row)
    row.save()
    audit.record(actor, f"set the health check to {describe(row)}", app=app)
    events.announce(app.name, events.EventKind.APP)


@transaction.atomic
def unset_health(actor: Person, *, app: App) -> None:
    """Remove the app's own health check. Then its Dockerfile's check applies, or the default."""
    require_member(actor, app.team)
    app = lock_app(app)
    if HealthSettings.objects.filter(app=app).delete()[0]:
        audit.record(actor, "removed the health check of the settings", app=app)
        events.announce(app.name, events.EventKind.APP)


@transaction.atomic
def delete_app(actor: Person, *, app: App, typed_name: str) -> None:
    """Delete an app permanently. It disappears from every list immediately.

    Its volumes can be restored for some days. Its row is deleted when its node has removed it.
    """
    require_member(actor, app.team)
    if typed_name.strip() != app.name:
        raise ValueRefused(
            "The name does not match.", field="typed_name", hint=f"Type {app.name} to delete it."
        )
    app = lock_app(app)
    App.objects.filter(pk=app.pk).update(deleted_at=timezone.now())
    Build.objects.filter(app=app, state__in=(BuildState.QUEUED, BuildState.BUILDING)).update(
        state=BuildState.CANCELLED,
        reason="The app was deleted.",
        finished_at=timezone.now(),
        encrypted_credentials=None,
    )
    supersede_open_rollouts(app, reason="The app was deleted.")
    volumes.delete_all_of(app)
    audit.record(actor, f"deleted the app {app.name}", app=app)
    enqueue(Task.REMOVE_APP, app.pk)
    events.announce(app.name, events.EventKind.APP)


def forget(app: App) -> None:
    """Delete the row of an app that its node has removed, with its related rows, repository and
    logs. For the workers."""
    for build in Build.objects.filter(app=app):
        build_logs.path_of(build).unlink(missing_ok=True)
    log = app_logs.path_of(app)
    for path in (log, log.with_name(log.name + ".1")):
        path.unlink(missing_ok=True)
    repositories.remove(app)
    with transaction.atomic():
        App.objects.filter(pk=app.pk).exclude(deleted_at=None).delete()


def _check_autoscaled(
    app: App, rows: Mapping[str, ProcessFormation], sizes: Mapping[str, Size]
) -> None:
    """Refuse a count set by a person, because autoscaling would change it within seconds. The size
    can be set."""
    if (
        WEB not in sizes
        or sizes[WEB].count == rows[WEB].count
        or not (traffic := traffic_of(app)).autoscale
    ):
        return
    raise Conflict(
        f"{app.name} is autoscaled: {WEB} has between {traffic.autoscale_least} and"
        f" {traffic.autoscale_most} instances.",
        hint="Change these bounds in its settings, or turn off autoscaling there.",
    )


def _checked(changes: Mapping[str, str | None]) -> Mapping[str, str | None]:
    for name, value in changes.items():
        if not _VARIABLE.fullmatch(name):
            hint = "Use at most 128 letters, digits and underscores. The first is not a digit."
            raise ValueRefused(
                f"{name!r} is not a valid name of a config var.", field="name", hint=hint
            )
        if name in _OURS:
            raise ValueRefused(
                f"Slipway sets {name} for each instance.",
                field="name",
                hint="Read the variable in your app, and listen on that port.",
            )
        if value is not None and "\0" in value:
            raise ValueRefused(
                f"The value of {name} contains a zero byte, which an environment variable cannot.",
                field="value",
                hint="Encode the value, for example as Base64.",
            )
        if value is not None and len(value.encode()) > LONGEST_VALUE:
            hint = "Put it in a file of the source."
            raise ValueRefused(
                f"The value of {name} is longer than {LONGEST_VALUE // 1024} KiB.",
                field="value",
                hint=hint,
            )
    return changes


def _describe(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return the changed names only. Values are secret and must not be in a log."""
    put = sorted(name for name, value in after.items() if before.get(name) != value)
    gone = sorted(before.keys() - after.keys())
    parts = ([f"set {', '.join(put)}"] if put else []) + (
        [f"unset {', '.join(gone)}"] if gone else []
    )
    text = " and ".join(parts)
    return text if len(text) <= 200 else text[:199] + "…"
