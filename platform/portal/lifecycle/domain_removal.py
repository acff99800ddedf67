"""Removal of a domain, also from the app's traffic settings."""

from __future__ import annotations

from django.db import transaction

from portal import events
from portal.accounts.models import Person
from portal.activity import audit
from portal.domains.actions import locked
from portal.domains.models import Domain
from portal.queue import Task, enqueue
from portal.traffic.models import TrafficSettings


@transaction.atomic
def remove(actor: Person, *, domain: Domain) -> None:
    """Remove the domain from the app, and its certificate."""
    domain = locked(actor, domain)
    TrafficSettings.objects.filter(app=domain.app, canonical_host=domain.host).update(
        canonical_host=""
    )
    domain.delete()
    audit.record(actor, f"removed the domain {domain.host}", app=domain.app)
    enqueue(Task.CONVERGE, domain.app_id)
    enqueue(Task.UPDATE_DOMAINS)
    events.announce(domain.app.name, events.EventKind.APP)
