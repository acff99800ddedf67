"""API operations for domains and their certificates."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router, Status

from portal.api.authentication import person_of
from portal.api.traffic_schemas import (
    CertificateIn,
    CertificateOut,
    DomainIn,
    DomainOut,
    DomainProofOut,
)
from portal.apps.access import app_for
from portal.domains import access, actions, certificates
from portal.domains.models import Domain
from portal.lifecycle import domain_removal

router = Router(tags=["domains"])


@router.get(
    "/apps/{name}/domains",
    response=list[DomainOut],
    summary="Domains of an app, with the DNS record that verifies each",
)
def list_domains(request: HttpRequest, name: str) -> list[DomainOut]:
    return [_domain_out(domain) for domain in access.domains_of(app_for(person_of(request), name))]


@router.post("/apps/{name}/domains", response={201: DomainOut}, summary="Add a domain")
def add_domain(request: HttpRequest, name: str, body: DomainIn) -> Status[DomainOut]:
    person = person_of(request)
    return Status(201, _domain_out(actions.add(person, app=app_for(person, name), host=body.host)))


@router.post(
    "/apps/{name}/domains/{host}/verify", response={202: DomainOut}, summary="Verify a domain now"
)
def verify_domain(request: HttpRequest, name: str, host: str) -> Status[DomainOut]:
    person = person_of(request)
    return Status(
        202, _domain_out(actions.verify(person, domain=access.domain_for(person, name, host)))
    )


@router.delete("/apps/{name}/domains/{host}", response={204: None}, summary="Remove a domain")
def remove_domain(request: HttpRequest, name: str, host: str) -> Status[None]:
    person = person_of(request)
    domain_removal.remove(person, domain=access.domain_for(person, name, host))
    return Status(204, None)


@router.put(
    "/apps/{name}/domains/{host}/certificate", response={202: None}, summary="Upload a certificate"
)
def upload_certificate(
    request: HttpRequest, name: str, host: str, body: CertificateIn
) -> Status[None]:
    person = person_of(request)
    certificates.upload(
        person, domain=access.domain_for(person, name, host), chain=body.chain, key=body.key
    )
    return Status(202, None)


@router.post(
    "/apps/{name}/domains/{host}/certificate",
    response={202: None},
    summary="Order a certificate now",
)
def order_certificate(request: HttpRequest, name: str, host: str) -> Status[None]:
    person = person_of(request)
    certificates.order(person, domain=access.domain_for(person, name, host))
    return Status(202, None)


def _domain_out(domain: Domain) -> DomainOut:
    row = access.certificate_of(domain)
    return DomainOut(
        host=domain.host,
        state=domain.state,
        reason=domain.reason,
        checked_at=domain.checked_at,
        proof=DomainProofOut(
            record=access.record_name(domain),
            file=access.file_address(domain) or None,
            token=domain.token,
        ),
        certificate=(
            CertificateOut(
                uploaded=row.uploaded,
                issuer=row.issuer,
                names=row.names,
                not_after=row.not_after,
                reason=row.reason,
                next_try_at=row.next_try_at,
            )
            if row
            else None
        ),
    )
