"""Change domains: people add, check and remove them; workers record the results of checks."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from portal import events
from portal.accounts.access import require_member
from portal.accounts.models import Person
from portal.activity import audit
from portal.apps.models import App
from portal.domains.hosts import check_host
from portal.domains.models import Domain, DomainState
from portal.errors import Conflict, NotFound, ValueRefused
from portal.queue import Task, enqueue
from portal.quotas.app_lock import lock_app

MOST = 100  # of one app
FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(hours=1)
PATIENCE = timedelta(days=7)  # after this time, automatic checks stop until a person asks for one
TAKEN = "Another app already has this domain."
TAKEN_HINT = (
    "Remove it from that app first. If you do not have access to that app, ask an admin of this"
    " Slipway."
)


@transaction.atomic
def add(actor: Person, *, app: App, host: str) -> Domain:
    """Add a domain to an app. The domain serves the app when it is verified."""
    require_member(actor, app.team)
    host = check_host(host)
    app = lock_app(app)
    if Domain.objects.filter(app=app, host=host).exists():
        raise ValueRefused(
            f"{app.name} already has the domain {host}.",
            field="host",
            hint="See the list of domains.",
        )
    _check_free(host)
    if Domain.objects.filter(app=app).count() >= MOST:
        raise ValueRefused(
            f"An app has at most {MOST} domains.",
            field="host",
            hint="Remove one, or use a wildcard such as *.example.com.",
        )
    now = timezone.now()
    domain = Domain.objects.create(
        app=app, host=host, token=secrets.token_hex(16), asked_at=now, next_check_at=now
    )
    audit.record(actor, f"added the domain {host}", app=app)
    enqueue(Task.CHECK_DOMAIN, domain.pk)
    events.announce(app.name, events.EventKind.APP)
    return domain


@transaction.atomic
def verify(actor: Person, *, domain: Domain) -> Domain:
    """Check the domain now, and start some days of automatic checks. A verified domain does not
    change."""
    domain = locked(actor, domain)
    if domain.state == DomainState.VERIFIED:
        return domain
    _check_free(domain.host)
    now = timezone.now()
    domain.state, domain.tries, domain.asked_at, domain.next_check_at = (
        DomainState.WAITING,
        0,
        now,
        now,
    )
    domain.save()
    audit.record(actor, f"asked to check the domain {domain.host}", app=domain.app)
    enqueue(Task.CHECK_DOMAIN, domain.pk)
    return domain


def mark_verified(domain: Domain, how: str, now: datetime) -> bool:
    """Record that the domain is verified. Return False if the domain was removed or another app was
    first.

    In the second case the domain's row has the reason. For the workers.
    """
    try:
        with transaction.atomic():
            if not _waiting(domain).update(
                state=DomainState.VERIFIED,
                reason="",
                checked_at=now,
                next_check_at=None,
                tries=domain.tries + 1,
            ):
                return False
            audit.record(None, f"verified the domain {domain.host} {how}", app=domain.app)
            enqueue(Task.CONVERGE, domain.app_id)
            enqueue(Task.UPDATE_DOMAINS)
    except IntegrityError:
        _waiting(domain).update(
            state=DomainState.FAILED,
            reason=f"{TAKEN} {TAKEN_HINT}",
            checked_at=now,
            next_check_at=None,
        )
        return False
    events.announce(domain.app.name, events.EventKind.APP)
    return True


def mark_unproven(domain: Domain, reason: str, now: datetime) -> None:
    """Record that the domain is not verified. Later checks become less frequent, and stop in the
    end. For the workers."""
    tries = domain.tries + 1
    pause = min(FIRST_PAUSE * 2 ** min(tries - 1, 20), LONGEST_PAUSE)
    over = now - domain.asked_at >= PATIENCE
    _waiting(domain).update(
        state=DomainState.FAILED if over else DomainState.WAITING,
        reason=reason,
        checked_at=now,
        tries=tries,
        next_check_at=None if over else now + pause,
    )
    events.announce(domain.app.name, events.EventKind.APP)


def _waiting(domain: Domain) -> QuerySet[Domain]:
    return Domain.objects.filter(pk=domain.pk, state=DomainState.WAITING)


def locked(actor: Person, domain: Domain) -> Domain:
    """Return the current row of the domain, locked together with its app. The caller is in a
    transaction."""
    require_member(actor, domain.app.team)
    app = lock_app(domain.app)
    locked = (
        Domain.objects.select_for_update()
        .select_related("app__team")
        .filter(pk=domain.pk, app=app)
        .first()
    )
    if locked is None:
        raise NotFound(f"The domain {domain.host} of {app.name} was removed.")
    return locked


def _check_free(host: str) -> None:
    if Domain.objects.filter(host=host, state=DomainState.VERIFIED).exists():
        raise Conflict(f"{host}: {TAKEN}", hint=TAKEN_HINT)
