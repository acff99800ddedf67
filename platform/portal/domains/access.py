"""Read domains and their proofs of ownership. Other modules get them only from here."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

from portal.accounts.models import Person
from portal.apps.access import app_for, host_of
from portal.apps.models import App
from portal.domains.hosts import base_of
from portal.domains.models import Domain, DomainCertificate, DomainState
from portal.errors import NotFound

PROOF_PATH = "/.well-known/slipway-domain.txt"


def domains_of(app: App) -> QuerySet[Domain]:
    """Return all domains of an app by host, with their certificates."""
    return Domain.objects.filter(app=app).select_related("certificate").order_by("host")


def domain_for(person: Person, name: str, host: str) -> Domain:
    """Return a domain of an app that the person may see. Raise NotFound otherwise."""
    app = app_for(person, name)
    domain = domains_of(app).filter(host=host.lower()).first()
    if domain is None:
        raise NotFound(f"{app.name} has no domain {host}.", hint="Check the app's list of domains.")
    return domain


def hosts_of(app: App) -> tuple[str, ...]:
    """Return every host of the app: its default hostname, then its verified domains."""
    verified = (
        Domain.objects.filter(app=app, state=DomainState.VERIFIED)
        .order_by("host")
        .values_list("host", flat=True)
    )
    return (host_of(app), *verified)


def certificate_of(domain: Domain) -> DomainCertificate | None:
    """Return the certificate, or None if none was ordered or uploaded yet."""
    return DomainCertificate.objects.filter(domain=domain).first()


def record_name(domain: Domain) -> str:
    """Return the name of the TXT record that verifies the domain."""
    return f"_slipway.{base_of(domain.host)}"


def file_address(domain: Domain) -> str:
    """Return the URL of the file that verifies the domain. Empty for a wildcard, because no server
    represents all its names."""
    return "" if domain.wildcard else f"http://{domain.host}{PROOF_PATH}"


def checks_due(now: datetime) -> list[int]:
    """Return the ids of domains that are due for another check."""
    rows = Domain.objects.filter(
        state=DomainState.WAITING, next_check_at__lte=now, app__deleted_at=None
    )
    return list(rows.order_by("next_check_at").values_list("pk", flat=True))


def verified_domains() -> QuerySet[Domain]:
    """Return the verified domains."""
    rows = Domain.objects.filter(state=DomainState.VERIFIED, app__deleted_at=None)
    return rows.select_related("certificate", "app").order_by("pk")
