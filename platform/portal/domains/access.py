"""The only way to domains, and to what proves them."""

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
    """All of an app's, by host, with their certificates."""
    return Domain.objects.filter(app=app).select_related("certificate").order_by("host")


def domain_for(person: Person, name: str, host: str) -> Domain:
    """One domain of an app that they may see; NotFound otherwise."""
    app = app_for(person, name)
    domain = domains_of(app).filter(host=host.lower()).first()
    if domain is None:
        raise NotFound(f"{app.name} has no domain {host}.", hint="Look at the app's list of domains.")
    return domain


def hosts_of(app: App) -> tuple[str, ...]:
    """Every host that leads to the app: its own name, then its verified domains."""
    verified = Domain.objects.filter(app=app, state=DomainState.VERIFIED).order_by("host").values_list("host", flat=True)
    return (host_of(app), *verified)


def certificate_of(domain: Domain) -> DomainCertificate | None:
    """None as long as nothing was tried."""
    return DomainCertificate.objects.filter(domain=domain).first()


def record_name(domain: Domain) -> str:
    """Of the TXT record that proves it."""
    return f"_slipway.{base_of(domain.host)}"


def file_address(domain: Domain) -> str:
    """Of the file that proves it; empty for a wildcard, of which no server can speak."""
    return "" if domain.wildcard else f"http://{domain.host}{PROOF_PATH}"


def checks_due(now: datetime) -> list[int]:
    """Ids of domains to look for again."""
    rows = Domain.objects.filter(state=DomainState.WAITING, next_check_at__lte=now, app__deleted_at=None)
    return list(rows.order_by("next_check_at").values_list("pk", flat=True))


def verified_domains() -> QuerySet[Domain]:
    """Those that browsers may ask for."""
    rows = Domain.objects.filter(state=DomainState.VERIFIED, app__deleted_at=None)
    return rows.select_related("certificate", "app").order_by("pk")
