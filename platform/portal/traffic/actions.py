"""Change an app's traffic settings."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping

from django.db import transaction

from portal import events
from portal.accounts.access import require_member
from portal.accounts.models import Person
from portal.activity import audit
from portal.apps.models import App, ProcessFormation
from portal.domains.access import hosts_of
from portal.errors import ValueRefused
from portal.queue import Task, enqueue
from portal.quotas.app_lock import lock_app
from portal.traffic.models import TrafficSettings
from portal.traffic.validation import MOST_NAMES, check_autoscaling, checked

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
LEAST_PASSWORD = 12


@transaction.atomic
def change(actor: Person, *, app: App, changes: Mapping[str, object]) -> TrafficSettings:
    """Change some settings. They take effect when the app's node has updated its router."""
    require_member(actor, app.team)
    app = lock_app(app)
    processes = sorted(ProcessFormation.objects.filter(app=app).values_list("process", flat=True))
    values = checked(
        changes,
        processes=processes,
        hosts=[host for host in hosts_of(app) if not host.startswith("*")],
    )
    row, _ = TrafficSettings.objects.get_or_create(app=app)
    changed = [field for field, value in values.items() if getattr(row, field) != value]
    if changed:
        for field in changed:
            setattr(row, field, values[field])
        check_autoscaling(row)
        _save(actor, app, row, f"changed {', '.join(field.replace('_', ' ') for field in changed)}")
    return row


@transaction.atomic
def admit(actor: Person, *, app: App, name: str, password: str) -> None:
    """Allow a user name and password for basic authentication. Only a hash is stored. The first
    user turns it on."""
    require_member(actor, app.team)
    if not _NAME.fullmatch(name):
        hint = "Use up to 64 letters, digits and the characters . _ @ -."
        raise ValueRefused(
            f"{name!r} is not a valid user name for basic authentication.",
            field="auth_name",
            hint=hint,
        )
    if len(password) < LEAST_PASSWORD:
        hint = (
            f"Use {LEAST_PASSWORD} characters or more, because it is checked at each request with a"
            " fast hash."
        )
        raise ValueRefused("The password is too short.", field="auth_password", hint=hint)
    app = lock_app(app)
    row, _ = TrafficSettings.objects.get_or_create(app=app)
    if name not in row.auth and len(row.auth) >= MOST_NAMES:
        raise ValueRefused(
            f"The app already has {MOST_NAMES} users for basic authentication, which is the"
            " maximum.",
            field="auth_name",
            hint="Remove a user first.",
        )
    row.auth_salt = row.auth_salt or secrets.token_hex(16)
    row.auth = {**row.auth, name: _digest(row.auth_salt, name, password)}
    _save(actor, app, row, f"allowed {name} for basic authentication")


@transaction.atomic
def turn_away(actor: Person, *, app: App, name: str) -> None:
    """Remove a user from basic authentication. Removing the last one turns it off."""
    require_member(actor, app.team)
    app = lock_app(app)
    row, _ = TrafficSettings.objects.get_or_create(app=app)
    if name in row.auth:
        row.auth = {known: digest for known, digest in row.auth.items() if known != name}
        _save(actor, app, row, f"removed {name} from basic authentication")


def _save(actor: Person, app: App, row: TrafficSettings, words: str) -> None:
    row.save()
    audit.record(actor, f"{words}", app=app)
    enqueue(Task.CONVERGE, app.pk)
    events.announce(app.name, events.EventKind.APP)


def _digest(salt: str, name: str, password: str) -> str:
    """Return the digest that the router compares (runtime/router/policy.py, `credential_digest`).

    The router has the text of the Authorization header, not its parts.
    """
    pair = base64.b64encode(f"{name}:{password}".encode()).decode()
    return hashlib.sha256(f"{salt}:{pair}".encode()).hexdigest()
