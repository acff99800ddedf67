"""The data of the domain card: a line per domain with its verification and its certificate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django import forms
from django.conf import settings
from django.utils import timezone

from portal.apps.access import host_of
from portal.apps.models import App
from portal.domains import access, platform_certificates
from portal.domains.models import Domain, DomainCertificate, DomainState, OwnCertificate
from portal.pages.domains.forms import AddressForm, CertificateForm, DomainForm
from portal.traffic.access import traffic_of

# before the end of an uploaded certificate, which is not renewed automatically
SOON = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsRecordLine:
    """One domain."""

    domain: Domain
    record: str  # name of the TXT record
    file: str  # URL of the file; empty for a wildcard
    certificate: DomainCertificate | None
    standing: str  # of its certificate: none, ordering, good, soon or expired
    needs_upload: bool  # no certificate is ordered for it
    form: forms.Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The whole card. `https` is True if this Slipway serves HTTPS itself. Otherwise a proxy in
    front of it has the certificates."""

    own_host: str
    own_certificate: OwnCertificate | None
    own_standing: str  # of the app's default hostname; empty if it can have no certificate
    lines: list[DnsRecordLine]
    add: forms.Form
    addresses: forms.Form
    https: bool


def card_of(
    app: App,
    *,
    added: forms.Form | None = None,
    uploaded: Mapping[int, forms.Form] | None = None,
    addressed: forms.Form | None = None,
) -> Card:
    """Return the card. Forms that were refused replace the empty ones; `uploaded` is keyed by the
    domain's id."""
    row = traffic_of(app)
    is_to_have, certificate = platform_certificates.for_app(app)
    initial = {name: getattr(row, name) for name in AddressForm.base_fields}
    return Card(
        own_host=host_of(app),
        own_certificate=certificate,
        own_standing=standing(certificate) if is_to_have else "",
        lines=[_line(domain, (uploaded or {}).get(domain.pk)) for domain in access.domains_of(app)],
        add=added or DomainForm(),
        addresses=addressed or AddressForm(initial=initial, hosts=access.hosts_of(app)),
        https=bool(settings.HTTPS_PORT),
    )


def own_certificates() -> list[tuple[str, OwnCertificate | None, str]]:
    """Return each host of this Slipway with its certificate and status, for the admin page. Hosts
    with problems are first."""
    found = [(host, row, standing(row)) for host, row in platform_certificates.rows().items()]
    return sorted(found, key=lambda line: line[2] == "good")


def _line(domain: Domain, form: forms.Form | None) -> DnsRecordLine:
    certificate = access.certificate_of(domain)
    return DnsRecordLine(
        domain=domain,
        record=access.record_name(domain),
        file=access.file_address(domain),
        certificate=certificate,
        standing=standing(certificate if domain.state == DomainState.VERIFIED else None),
        needs_upload=domain.wildcard and not settings.ACME_DNS_HOOK,
        form=form or CertificateForm(auto_id=f"id_%s_{domain.pk}"),
    )


def standing(certificate: DomainCertificate | OwnCertificate | None) -> str:
    """Return the status: none, ordering, good, soon (an uploaded certificate ends soon) or
    expired."""
    if certificate is None or certificate.not_after is None:
        return "none" if certificate is not None and certificate.reason else "ordering"
    left = certificate.not_after - timezone.now()
    uploaded = isinstance(certificate, DomainCertificate) and certificate.uploaded
    return "expired" if left <= timedelta() else "soon" if uploaded and left < SOON else "good"
