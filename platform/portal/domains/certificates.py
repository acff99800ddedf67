"""Change the state of certificates: people upload them, and workers install, order and renew
them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from portal import events
from portal.accounts.access import require_member
from portal.accounts.models import Person
from portal.activity import audit
from portal.apps import secrets
from portal.domains.models import Domain, DomainCertificate, DomainState
from portal.errors import Conflict, ValueRefused
from portal.queue import Task, enqueue
from portal.quotas.app_lock import lock_app

LONGEST = 64 * 2**10  # characters, for a chain and for a key
FIRST_PAUSE = timedelta(minutes=5)  # authorities count failures per hour
LONGEST_PAUSE = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A certificate chain and a key as PEM texts, as uploaded."""

    chain: str
    key: str


@transaction.atomic
def upload(actor: Person, *, domain: Domain, chain: str, key: str) -> None:
    """Upload a certificate. A worker checks a moment later if it can be served, and records the
    result in the row."""
    require_member(actor, domain.app.team)
    for field, text, beginning in (
        ("chain", chain, "-----BEGIN CERTIFICATE-----"),
        ("key", key, "PRIVATE KEY-----"),
    ):
        if len(text) > LONGEST or "\0" in text or beginning not in text:
            hint = f"Paste the text that contains {beginning}, at most {LONGEST // 1024} KiB."
            raise ValueRefused("This is not in PEM format.", field=field, hint=hint)
    app = lock_app(domain.app)
    if not Domain.objects.filter(pk=domain.pk, state=DomainState.VERIFIED).exists():
        raise Conflict(f"{domain.host} is not verified.", hint="Verify the domain first.")
    handed = secrets.encrypt(json.dumps({"chain": chain, "key": key}))
    values = {"encrypted_upload": handed, "reason": "", "tries": 0, "next_try_at": timezone.now()}
    DomainCertificate.objects.update_or_create(domain=domain, defaults=values)
    audit.record(actor, f"uploaded a certificate for {domain.host}", app=app)
    enqueue(Task.UPDATE_CERTIFICATE, domain.pk)


@transaction.atomic
def order(actor: Person, *, domain: Domain) -> None:
    """Order a certificate now, to replace an uploaded one or to skip the wait for the next
    attempt."""
    require_member(actor, domain.app.team)
    app = lock_app(domain.app)
    if not Domain.objects.filter(pk=domain.pk, state=DomainState.VERIFIED).exists():
        raise Conflict(f"{domain.host} is not verified.", hint="Verify the domain first.")
    row = DomainCertificate.objects.filter(domain=domain).first()
    if row is not None and not row.uploaded and row.not_after is not None and not row.reason:
        raise Conflict(
            f"{domain.host} already has a valid certificate.",
            hint="It is renewed automatically before it expires.",
        )
    values = {
        "uploaded": False,
        "encrypted_upload": None,
        "tries": 0,
        "next_try_at": timezone.now(),
    }
    DomainCertificate.objects.update_or_create(domain=domain, defaults=values)
    audit.record(actor, f"ordered a certificate for {domain.host}", app=app)
    enqueue(Task.UPDATE_CERTIFICATE, domain.pk)


@transaction.atomic
def take_upload(row: DomainCertificate) -> Upload | None:
    """Return the uploaded certificate and delete it from the row. None if there is none or another
    worker took it. For the workers."""
    locked = DomainCertificate.objects.select_for_update().get(pk=row.pk)
    if locked.encrypted_upload is None:
        return None
    upload = Upload(**json.loads(secrets.decrypt(locked.encrypted_upload)))
    DomainCertificate.objects.filter(pk=row.pk).update(encrypted_upload=None)
    return upload


def mark_served(
    domain: Domain,
    *,
    uploaded: bool,
    issuer: str,
    names: Sequence[str],
    not_after: datetime,
    renew_at: datetime | None,
) -> None:
    """Record the certificate that browsers get from now on. For the workers."""
    values = {
        "uploaded": uploaded,
        "issuer": issuer[:300],
        "names": list(names),
        "not_after": not_after,
        "reason": "",
        "tries": 0,
        "next_try_at": renew_at,
    }
    DomainCertificate.objects.update_or_create(domain=domain, defaults=values)
    audit.record(
        None,
        f"installed a certificate for {domain.host}, valid until {not_after:%Y-%m-%d}",
        app=domain.app,
    )
    events.announce(domain.app.name, events.EventKind.APP)


def mark_refused(
    domain: Domain,
    reason: str,
    *,
    now: datetime,
    after: float = 0,
    renew_at: datetime | None = None,
) -> None:
    """Record that an order or upload failed. The previous certificate is still served. For the
    workers.

    `after`: the least seconds until the next order. `renew_at`: the time at which the served
    certificate must be renewed in any case.
    """
    row, _ = DomainCertificate.objects.get_or_create(domain=domain)
    next_try_at = (
        renew_at if renew_at is not None and renew_at > now else now + pause(row.tries, after)
    )
    DomainCertificate.objects.filter(pk=row.pk).update(
        reason=reason, tries=row.tries + 1, next_try_at=next_try_at
    )
    events.announce(domain.app.name, events.EventKind.APP)


def pause(tries: int, after: float) -> timedelta:
    """Return the time to wait after this number of failed orders, at least `after` seconds."""
    doubled: timedelta = FIRST_PAUSE * 2 ** min(tries, 20)
    return max(min(doubled, LONGEST_PAUSE), timedelta(seconds=after))


def rest(domain: Domain, until: datetime | None) -> None:
    """Record that there is nothing to do before `until`. None: not before a person asks. For the
    workers."""
    DomainCertificate.objects.filter(domain=domain, encrypted_upload=None).update(next_try_at=until)


def mark_lost(domain: Domain) -> None:
    """Record that the router has lost the certificate's file, so that a new one is ordered. For the
    workers."""
    DomainCertificate.objects.filter(domain=domain).update(
        not_after=None, uploaded=False, next_try_at=timezone.now()
    )
