"""Writes to what is known of certificates: people hand one over, workers take it, order others, and tell how it went."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from portal.accounts.access import require_member
from portal.accounts.models import Person
from portal.activity import audit, events
from portal.apps import secrets
from portal.domains.models import Domain, DomainCertificate, DomainState
from portal.errors import Conflict, ValueRefused
from portal.queue import Task, enqueue
from portal.releases.actions import lock_app

LONGEST = 64 * 2**10  # characters of a chain, and of a key
FIRST_PAUSE = timedelta(minutes=5)  # authorities count failures by the hour
LONGEST_PAUSE = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Two PEM texts, as somebody handed them over."""

    chain: str
    key: str


@transaction.atomic
def upload(actor: Person, *, domain: Domain, chain: str, key: str) -> None:
    """Hand over a certificate of one's own. Whether it can be served, a worker sees a moment later and tells in the row."""
    require_member(actor, domain.app.team)
    for field, text, beginning in (("chain", chain, "-----BEGIN CERTIFICATE-----"), ("key", key, "PRIVATE KEY-----")):
        if len(text) > LONGEST or "\0" in text or beginning not in text:
            hint = f"Paste the text that holds {beginning}, at most {LONGEST // 1024} KiB."
            raise ValueRefused("This is not in PEM form.", field=field, hint=hint)
    app = lock_app(domain.app)
    if not Domain.objects.filter(pk=domain.pk, state=DomainState.VERIFIED).exists():
        raise Conflict(f"{domain.host} is not verified.", hint="Prove that it is yours first.")
    handed = secrets.encrypt(json.dumps({"chain": chain, "key": key}))
    values = {"encrypted_upload": handed, "reason": "", "tries": 0, "next_try_at": timezone.now()}
    DomainCertificate.objects.update_or_create(domain=domain, defaults=values)
    audit.record(actor, f"uploaded a certificate for {domain.host}", app=app)
    enqueue(Task.TEND_CERTIFICATE, domain.pk)


@transaction.atomic
def order(actor: Person, *, domain: Domain) -> None:
    """Have the authority's certificate, now: instead of an uploaded one, or without waiting for the next try."""
    require_member(actor, domain.app.team)
    app = lock_app(domain.app)
    if not Domain.objects.filter(pk=domain.pk, state=DomainState.VERIFIED).exists():
        raise Conflict(f"{domain.host} is not verified.", hint="Prove that it is yours first.")
    row = DomainCertificate.objects.filter(domain=domain).first()
    if row is not None and not row.uploaded and row.not_after is not None and not row.reason:
        raise Conflict(f"{domain.host} has a good certificate.", hint="It is renewed by itself, well before it expires.")
    values = {"uploaded": False, "encrypted_upload": None, "tries": 0, "next_try_at": timezone.now()}
    DomainCertificate.objects.update_or_create(domain=domain, defaults=values)
    audit.record(actor, f"asked for a certificate for {domain.host}", app=app)
    enqueue(Task.TEND_CERTIFICATE, domain.pk)


@transaction.atomic
def take_upload(row: DomainCertificate) -> Upload | None:
    """What was handed over, and wipe it; None if there is nothing, or another worker was quicker. For the workers."""
    locked = DomainCertificate.objects.select_for_update().get(pk=row.pk)
    if locked.encrypted_upload is None:
        return None
    upload = Upload(**json.loads(secrets.decrypt(locked.encrypted_upload)))
    DomainCertificate.objects.filter(pk=row.pk).update(encrypted_upload=None)
    return upload


def mark_served(
    domain: Domain, *, uploaded: bool, issuer: str, names: Sequence[str], not_after: datetime, renew_at: datetime | None
) -> None:
    """Browsers are shown this one from now on. For the workers."""
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
    audit.record(None, f"serves a certificate for {domain.host}, good until {not_after:%Y-%m-%d}", app=domain.app)
    events.announce(domain.app.name, events.Kind.APP)


def mark_refused(domain: Domain, reason: str, *, now: datetime, after: float = 0, renew_at: datetime | None = None) -> None:
    """An order or upload came to nothing; what was served before is served still. For the workers.

    `after`: seconds to wait at least before the next order. `renew_at`: when what is served is to be renewed anyway.
    """
    row, _ = DomainCertificate.objects.get_or_create(domain=domain)
    next_try_at = renew_at if renew_at is not None and renew_at > now else now + pause(row.tries, after)
    DomainCertificate.objects.filter(pk=row.pk).update(reason=reason, tries=row.tries + 1, next_try_at=next_try_at)
    events.announce(domain.app.name, events.Kind.APP)


def pause(tries: int, after: float) -> timedelta:
    """How long to wait after so many orders that failed, and `after` seconds at least."""
    doubled: timedelta = FIRST_PAUSE * 2 ** min(tries, 20)
    return max(min(doubled, LONGEST_PAUSE), timedelta(seconds=after))


def rest(domain: Domain, until: datetime | None) -> None:
    """There is nothing to do before then; None: not before somebody asks. For the workers."""
    DomainCertificate.objects.filter(domain=domain, encrypted_upload=None).update(next_try_at=until)


def mark_lost(domain: Domain) -> None:
    """The router no longer has its file: get another. For the workers."""
    DomainCertificate.objects.filter(domain=domain).update(not_after=None, uploaded=False, next_try_at=timezone.now())
