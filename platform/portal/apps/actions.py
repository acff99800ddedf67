"""Writes to apps: make, configure, scale, restart, set their health check, delete."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from portal.accounts.access import require_member
from portal.accounts.models import Person, Team
from portal.activity import audit, events
from portal.apps import logs as app_logs
from portal.apps.checks import check_command, checked
from portal.apps.config import config_of, write_config
from portal.apps.defaults import LARGEST_CONFIG
from portal.apps.health import describe, health_of
from portal.apps.models import App, HealthSettings, ProcessFormation
from portal.apps.names import check_app_name
from portal.apps.sizes import Size
from portal.builds import logs as build_logs
from portal.builds.models import Build, BuildState
from portal.errors import Conflict, NameRefused, NotFound, ValueRefused
from portal.gitserver import repository
from portal.queue import Task, enqueue
from portal.quotas import decision
from portal.releases.access import intended_release, release_waiting_for
from portal.releases.actions import lock_app, make_release, supersede_open_rollouts
from portal.releases.models import Release
from portal.traffic.access import WEB, traffic_of

LONGEST_VALUE = 32 * 2**10
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_OURS = ("PORT",)  # set for each instance by its node


@transaction.atomic
def create_app(actor: Person, *, team: Team, name: str) -> App:
    """Make an app with nothing in it; its host name answers at once that nothing is deployed."""
    require_member(actor, team)
    name = check_app_name(name)
    decision.check_new_app(team)
    try:
        with transaction.atomic():
            app = App.objects.create(team=team, name=name)
    except IntegrityError:
        raise _taken(name) from None
    audit.record(actor, f"made the app {name}", app=app)
    enqueue(Task.CONVERGE, app.pk)
    events.announce(app.name, events.Kind.APP)
    return app


@transaction.atomic
def set_config_vars(actor: Person, *, app: App, changes: Mapping[str, str | None]) -> Release | None:
    """Set some config vars, and unset those given as None. A deployed app gets a new release with them, which is returned."""
    require_member(actor, app.team)
    app = lock_app(app)
    before = config_of(app)
    config = {name: value for name, value in {**before, **_checked(changes)}.items() if value is not None}
    if sum(len(name) + len(value.encode()) for name, value in config.items()) > LARGEST_CONFIG:
        raise ValueRefused(f"All config vars together would pass {LARGEST_CONFIG // 1024} KiB.", field="value", hint="Ship data as a file.")
    if config == before:
        return None
    write_config(app, config)
    text = _describe(before, config)
    audit.record(actor, text, app=app)
    events.announce(app.name, events.Kind.CONFIG)
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
    """Set count and size of some process types; the others stay."""
    require_member(actor, app.team)
    app = lock_app(app)
    rows = {row.process: row for row in ProcessFormation.objects.filter(app=app)}
    for process, size in sizes.items():
        if process not in rows:
            known = ", ".join(sorted(rows))
            hint = f"It has {known}." if known else "It gets its process types with the first deploy."
            raise NotFound(f"{app.name} has no process type {process}.", hint=hint)
        size.check(process)
    _check_autoscaled(app, rows, sizes)
    decision.check_formation(app.team, app, sizes)
    changed = {process: size for process, size in sizes.items() if Size.of(rows[process]) != size}
    for process, size in changed.items():
        values = {name: getattr(size, name) for name in ("count", "cpu", "memory", "processes", "disk")}
        ProcessFormation.objects.filter(pk=rows[process].pk).update(**values, by_person=True)
    if changed:
        audit.record(actor, "scaled " + "; ".join(f"{process} to {size.describe()}" for process, size in changed.items()), app=app)
        enqueue(Task.CONVERGE, app.pk)
        events.announce(app.name, events.Kind.FORMATION)


@transaction.atomic
def restart(actor: Person, *, app: App) -> None:
    """Replace all instances one after the other, without a gap."""
    require_member(actor, app.team)
    app = lock_app(app)
    if app.current_release_id is None:
        raise Conflict(f"Nothing of {app.name} is running.", hint="Deploy it first.")
    App.objects.filter(pk=app.pk).update(generation=F("generation") + 1)
    audit.record(actor, "restarted the app", app=app)
    enqueue(Task.CONVERGE, app.pk)
    events.announce(app.name, events.Kind.APP)


@transaction.atomic
def set_health(actor: Person, *, app: App, changes: Mapping[str, object]) -> None:
    """Set some of the app's own health check, None for the usual value; the rest stays.

    It holds for instances that start from now on: those that run keep the check they passed.
    """
    require_member(actor, app.team)
    app, values = lock_app(app), checked(changes)
    before = health_of(app)
    if not values or (before is not None and all(getattr(before, field) == value for field, value in values.items())):
        return
    row = before or HealthSettings(app=app)
    for field, value in values.items():
        setattr(row, field, value)
    check_command(row)
    row.save()
    audit.record(actor, f"set the health check to {describe(row)}", app=app)
    events.announce(app.name, events.Kind.APP)


@transaction.atomic
def unset_health(actor: Person, *, app: App) -> None:
    """Take the app's own health check away: its Dockerfile's counts again, or the default."""
    require_member(actor, app.team)
    app = lock_app(app)
    if HealthSettings.objects.filter(app=app).delete()[0]:
        audit.record(actor, "took the health check of the settings away", app=app)
        events.announce(app.name, events.Kind.APP)


@transaction.atomic
def delete_app(actor: Person, *, app: App, typed_name: str) -> None:
    """Delete an app for good: it is gone from every list at once, and its row when its node has let go of it."""
    require_member(actor, app.team)
    if typed_name.strip() != app.name:
        raise ValueRefused("The name does not match.", field="typed_name", hint=f"Type {app.name} to delete it.")
    app = lock_app(app)
    App.objects.filter(pk=app.pk).update(deleted_at=timezone.now())
    Build.objects.filter(app=app, state__in=(BuildState.QUEUED, BuildState.BUILDING)).update(
        state=BuildState.CANCELLED, reason="The app was deleted.", finished_at=timezone.now(), encrypted_credentials=None
    )
    supersede_open_rollouts(app, reason="The app was deleted.")
    audit.record(actor, f"deleted the app {app.name}", app=app)
    enqueue(Task.REMOVE_APP, app.pk)
    events.announce(app.name, events.Kind.APP)


def forget(app: App) -> None:
    """Its node has let go of it: delete the row with all that hangs on it, its repository and its logs. For the workers."""
    for build in Build.objects.filter(app=app):
        build_logs.path_of(build).unlink(missing_ok=True)
    log = app_logs.path_of(app)
    for path in (log, log.with_name(log.name + ".1")):
        path.unlink(missing_ok=True)
    repository.remove(app)
    with transaction.atomic():
        App.objects.filter(pk=app.pk).exclude(deleted_at=None).delete()


def _check_autoscaled(app: App, rows: Mapping[str, ProcessFormation], sizes: Mapping[str, Size]) -> None:
    """A number by hand would be undone within seconds; the size of one instance is still people's to choose."""
    if WEB not in sizes or sizes[WEB].count == rows[WEB].count or not (traffic := traffic_of(app)).autoscale:
        return
    raise Conflict(
        f"{app.name} scales {WEB} by itself, between {traffic.autoscale_least} and {traffic.autoscale_most} instances.",
        hint="Change these bounds on its Traffic page, or switch autoscaling off there.",
    )


def _checked(changes: Mapping[str, str | None]) -> Mapping[str, str | None]:
    for name, value in changes.items():
        if not _VARIABLE.fullmatch(name):
            hint = "Use letters, digits and underscores, no digit first, at most 128 of them."
            raise ValueRefused(f"{name!r} cannot be the name of a config var.", field="name", hint=hint)
        if name in _OURS:
            raise ValueRefused(f"{name} is set by Slipway for each instance.", field="name", hint="Read it in your app, and listen there.")
        if value is not None and "\0" in value:
            raise ValueRefused(
                f"The value of {name} holds a zero byte, which no environment can.", field="value", hint="Encode it, for example as Base64."
            )
        if value is not None and len(value.encode()) > LONGEST_VALUE:
            hint = "Ship it as a file of the source."
            raise ValueRefused(f"The value of {name} is longer than {LONGEST_VALUE // 1024} KiB.", field="value", hint=hint)
    return changes


def _describe(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Names only; a value is nobody's business in a log."""
    put = sorted(name for name, value in after.items() if before.get(name) != value)
    gone = sorted(before.keys() - after.keys())
    parts = ([f"set {', '.join(put)}"] if put else []) + ([f"unset {', '.join(gone)}"] if gone else [])
    text = " and ".join(parts)
    return text if len(text) <= 200 else text[:199] + "…"


def _taken(name: str) -> NameRefused:
    if App.objects.filter(name=name).exclude(deleted_at=None).exists():
        return NameRefused(f"An app {name} is just being deleted.", hint="Try again in a moment.")
    return NameRefused(
        f"The name {name} is taken.", hint="App names are host names, so they are unique on the whole platform. Choose another."
    )
