"""Change what an app is called and described as, and which team owns it."""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import F

from portal import events
from portal.accounts.access import require_member, require_owner
from portal.accounts.models import Person, Team
from portal.activity import audit
from portal.apps.access import host_of
from portal.apps.models import App, FormerName
from portal.apps.names import check_app_name
from portal.apps.sizes import Size
from portal.apps.volumes import Volume
from portal.builds.models import Build, BuildState
from portal.errors import Conflict, NameRefused, ValueRefused
from portal.queue import Task, enqueue
from portal.quotas import decision
from portal.quotas.app_lock import lock_app
from portal.releases.access import open_rollout
from portal.traffic.models import TrafficSettings

LONGEST_DESCRIPTION = 300  # characters


@transaction.atomic
def describe_app(actor: Person, *, app: App, text: str) -> App:
    """Set the description, one line of at most 300 characters. An empty one removes it. Return the
    app."""
    require_member(actor, app.team)
    app = lock_app(app)
    line = " ".join(text.split())
    if len(line) > LONGEST_DESCRIPTION:
        raise ValueRefused(
            f"The description has {len(line)} characters, {len(line) - LONGEST_DESCRIPTION} too"
            " many.",
            field="description",
            hint=f"Use at most {LONGEST_DESCRIPTION} characters.",
        )
    if not line.isprintable():
        raise ValueRefused(
            "The description has control characters, or characters that change the direction of"
            " text.",
            field="description",
            hint="Type the text again without them.",
        )
    if line != app.description:
        app.description = line
        app.save(update_fields=("description",))
        audit.record(
            actor, "changed the description" if line else "removed the description", app=app
        )
        events.announce(app.name, events.EventKind.APP)
    return app


@transaction.atomic
def rename_app(actor: Person, *, app: App, name: str) -> App:
    """Give an app another name and hostname. Return the app.

    Its node keeps the first name (`App.handle`), so nothing restarts. The old hostname answers 404:
    no other app gets a former name while this app exists.
    """
    require_member(actor, app.team)
    app, name = lock_app(app), check_app_name(name)
    old = app.name
    if name == old:
        return app
    FormerName.objects.filter(app=app, name=name).delete()
    app.node_name, app.name = app.handle, name
    try:
        with transaction.atomic():
            app.save(update_fields=("name", "node_name"))
            FormerName.objects.create(app=app, name=old)
    except IntegrityError:
        raise name_taken(name) from None
    check_former_names(name)
    TrafficSettings.objects.filter(app=app, canonical_host=host_of(App(name=old))).update(
        canonical_host=host_of(app)
    )
    audit.record(actor, f"renamed the app {old} to {name}", app=app)
    enqueue(Task.CONVERGE, app.pk)
    for known in (old, name):
        events.announce(known, events.EventKind.APP)
    return app


@transaction.atomic
def transfer_app(actor: Person, *, app: App, team: Team, typed_name: str) -> App:
    """Move an app to another team: an owner of its team and a member of the other team may do so.
    Return the app.

    Its instances are replaced, because a team has its own user ids, network and limits.
    """
    require_owner(actor, app.team)
    require_member(actor, team)
    if typed_name.strip() != app.name:
        raise ValueRefused(
            "The name does not match.", field="typed_name", hint=f"Type {app.name} to transfer it."
        )
    if team.pk == app.team_id:
        raise Conflict(f"{app.name} already belongs to team {team.name}.")
    before = app.team
    for owner in sorted((before, team), key=lambda owner: owner.pk):
        decision.lock(
            owner
        )  # always in this order, so that two transfers cannot wait for each other
    app = lock_app(app)
    if app.team_id != before.pk:
        raise Conflict(f"{app.name} was transferred in the meantime.", hint="Reload the page.")
    is_building = Build.objects.filter(
        app=app, state__in=(BuildState.QUEUED, BuildState.BUILDING)
    ).exists()
    if is_building or open_rollout(app) is not None:
        raise Conflict(
            f"{app.name} is being deployed.", hint="Wait until the deploy has ended, or cancel it."
        )
    if volume := Volume.objects.filter(app=app).first():
        raise Conflict(
            f"{app.name} has the volume {volume.name}, which belongs to team {before.name}.",
            hint="Detach its volumes first.",
        )
    decision.check_new_app(team)
    sizes = {row.process: Size.of(row) for row in decision.allocated().filter(app=app)}
    decision.check_formation(team, app, sizes)
    audit.record(actor, f"transferred the app {app.name} to team {team.name}", app=app)
    App.objects.filter(pk=app.pk).update(team=team, generation=F("generation") + 1)
    app.refresh_from_db()
    audit.record(actor, f"transferred the app {app.name} from team {before.name}", app=app)
    enqueue(Task.CONVERGE, app.pk)
    events.announce(app.name, events.EventKind.APP)
    return app


def check_former_names(name: str) -> None:
    """Raise NameRefused if another app had this name before. Call it after the name was written: a
    rename at the same time is seen then."""
    if FormerName.objects.filter(name=name).exists():
        raise name_taken(name)


def name_taken(name: str) -> NameRefused:
    """Return the error for a name that another app has or had."""
    if App.objects.filter(name=name).exclude(deleted_at=None).exists():
        return NameRefused(
            f"An app named {name} is still being deleted.", hint="Try again in a moment."
        )
    return NameRefused(
        f"The name {name} is already in use.",
        hint=(
            "App names are part of hostnames, so they are unique on this Slipway. Choose another"
            " name."
        ),
    )
