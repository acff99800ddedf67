"""What the card of an app's domains shows: a line each, with what proves it and how its certificate stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django import forms
from django.conf import settings
from django.utils import timezone

from portal.apps.access import host_of
from portal.apps.models import App
from portal.domains import access, own
from portal.domains.forms import AddressForm, CertificateForm, DomainForm
from portal.domains.models import Domain, DomainCertificate, DomainState, OwnCertificate
from portal.traffic.access import traffic_of

SOON = timedelta(days=14)  # before the end of an uploaded certificate, which nobody renews


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One domain."""

    domain: Domain
    record: str  # name of the TXT record
    file: str  # address of the file; empty for a wildcard
    certificate: DomainCertificate | None
    standing: str  # of its certificate: none, ordering, good, soon or expired
    needs_upload: bool  # nobody orders one for it
    form: forms.Form


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """All of it. `https`: whether this Slipway speaks HTTPS itself; without, certificates are somebody else's."""

    own_host: str
    own_certificate: OwnCertificate | None
    own_standing: str  # of it; empty: none is to be had
    lines: list[Line]
    add: forms.Form
    addresses: forms.Form
    https: bool


def card_of(
    app: App, *, added: forms.Form | None = None, uploaded: Mapping[int, forms.Form] | None = None, addressed: forms.Form | None = None
) -> Card:
    """The card, with forms that were refused in place of fresh ones; `uploaded` by the domain's id."""
    row = traffic_of(app)
    is_to_have, certificate = own.for_app(app)
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
    """For the admin: each host that this Slipway itself gives, its certificate and how that stands; those in trouble first."""
    found = [(host, row, standing(row)) for host, row in own.rows().items()]
    return sorted(found, key=lambda line: line[2] == "good")


def _line(domain: Domain, form: forms.Form | None) -> Line:
    certificate = access.certificate_of(domain)
    return Line(
        domain=domain,
        record=access.record_name(domain),
        file=access.file_address(domain),
        certificate=certificate,
        standing=standing(certificate if domain.state == DomainState.VERIFIED else None),
        needs_upload=domain.wildcard and not settings.ACME_DNS_HOOK,
        form=form or CertificateForm(auto_id=f"id_%s_{domain.pk}"),
    )


def standing(certificate: DomainCertificate | OwnCertificate | None) -> str:
    """How it stands: none, ordering, good, soon (an uploaded one ends) or expired."""
    if certificate is None or certificate.not_after is None:
        return "none" if certificate is not None and certificate.reason else "ordering"
    left = certificate.not_after - timezone.now()
    uploaded = isinstance(certificate, DomainCertificate) and certificate.uploaded
    return "expired" if left <= timedelta() else "soon" if uploaded and left < SOON else "good"
