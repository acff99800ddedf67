"""Certificate tasks: keep a valid certificate for each verified domain and platform host name."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from django.conf import settings
from django.utils import timezone

from portal.domains import access, certificates, platform_certificates
from portal.domains.models import CertificateState, Domain
from runtime import journal
from runtime.engines.node import NodeEngine
from runtime.errors import CertificateRefused, RuntimeFailure
from runtime.router.tls.certificate import Certificate, check
from runtime.router.tls.certificate_store import ONLY, Certificates, known_roots, name_for
from workers import node
from workers.celery import app as celery

ORDERING_SECONDS = 60.0  # of one task; an order takes some seconds


@celery.task(name="slipway.tend_certificate")
def update_certificate(domain_id: int) -> None:
    """Install an uploaded certificate, or order one that is missing or due."""
    engine = node.engine()
    domain = access.verified_domains().filter(pk=domain_id).first()
    if domain is None or not engine.config.https_port:
        return
    if _take_upload(engine, domain):
        return
    with journal.lock(engine.config.locks / "certificate-orders", blocking=False) as held:
        if held:
            # One order at a time, as they share an account; the schedule sends the others again.
            _order(engine, domain)


@celery.task(name="slipway.order_certificates")
def order_certificates() -> None:
    """Order certificates that are missing or due, one after the other, for a minute at most.

    The schedule runs this again for the rest.
    """
    engine = node.engine()
    if not engine.config.https_port:
        return
    with journal.lock(engine.config.locks / "certificate-orders", blocking=False) as held:
        until = time.monotonic() + ORDERING_SECONDS
        for wanted in due_certificates(engine, timezone.now()) if held else ():
            if time.monotonic() > until:
                return
            _order_if_verified(engine, wanted)


def _order_if_verified(engine: NodeEngine, wanted: Domain | str) -> None:
    """Order one certificate that was due. Its domain may be gone by now."""
    if isinstance(wanted, str):
        if wanted in platform_certificates.hosts():
            _order_platform_certificate(engine, wanted)
        return
    domain = access.verified_domains().filter(pk=wanted.pk).first()
    if domain is not None and not _take_upload(engine, domain):
        _order(engine, domain)


def remove_unused_certificates(engine: NodeEngine) -> None:
    """Remove certificates of domains and app host names that are gone.

    A certificate that another one will replace stays until that one is installed.
    """
    served = Certificates(engine.config)
    files, wanted, ours = (
        served.names(),
        platform_certificates.hosts(),
        platform_certificates.living(),
    )
    all_there = (
        bool(wanted)
        and {name_for(host) for host in wanted if host != settings.PORTAL_HOST} <= files
    )
    kept = [
        *(wanted if all_there else [*wanted, *ours]),
        *(domain.host for domain in access.verified_domains()),
    ]
    for gone in files - {name_for(host) for host in kept}:
        if gone.startswith(ONLY):
            served.remove(gone)
    platform_certificates.forget_all_but([*wanted, *ours])


def due_certificates(engine: NodeEngine, now: datetime) -> list[Domain | str]:
    """Return verified domains and platform host names without a valid certificate.

    The portal's host comes first, then those that have waited longest for a try.
    """
    files = Certificates(engine.config).names()
    found: list[tuple[bool, datetime, Domain | str]] = []
    for domain in access.verified_domains():
        row = access.certificate_of(domain)
        if row is not None and row.not_after is not None and name_for(domain.host) not in files:
            certificates.mark_lost(domain)
        elif row is not None and (row.next_try_at is None or row.next_try_at > now):
            continue  # nothing is due
        found.append((True, _since(row), domain))
    for host, own_row in platform_certificates.rows().items():
        if own_row is not None and own_row.not_after is not None and name_for(host) not in files:
            platform_certificates.mark_lost(host)
        elif own_row is not None and own_row.next_try_at is not None and own_row.next_try_at > now:
            continue
        found.append((host != settings.PORTAL_HOST, _since(own_row), host))
    return [wanted for _, _, wanted in sorted(found, key=lambda entry: entry[:2])]


def _since(row: CertificateState | None) -> datetime:
    return (
        row.next_try_at
        if row is not None and row.next_try_at is not None
        else datetime.min.replace(tzinfo=UTC)
    )


def _take_upload(engine: NodeEngine, domain: Domain) -> bool:
    """Check and install an uploaded certificate. Return False if there is none.

    The row is cleared before the check. So the key is only in the router's files, whatever the
    outcome.
    """
    row = access.certificate_of(domain)
    upload = certificates.take_upload(row) if row is not None else None
    if upload is None:
        return False
    now = timezone.now()
    try:
        found = check(upload.chain, upload.key, now=now, roots=known_roots())
        if not found.covers(domain.host):
            raise CertificateRefused(
                f"The certificate is for {', '.join(found.names)}, and not for {domain.host}.",
                hint="Upload a certificate that names it.",
            )
        Certificates(engine.config).install(name_for(domain.host), found)
    except RuntimeFailure as failure:
        served = Certificates(engine.config).get(name_for(domain.host))
        certificates.mark_refused(
            domain, failure.explain(), now=now, renew_at=_renew_at(served) if served else None
        )
        return True
    _record_served(domain, found, uploaded=True)
    return True


def _order(engine: NodeEngine, domain: Domain) -> None:
    row, now = access.certificate_of(domain), timezone.now()
    served = Certificates(engine.config).get(name_for(domain.host))
    if row is not None and row.next_try_at is not None and row.next_try_at > now:
        return  # another worker was faster
    if row is not None and row.uploaded and served is not None:
        certificates.rest(domain, None)
    elif (
        served is not None
        and not served.due(now)
        and (row is None or row.not_after != served.not_after)
    ):
        _install_again(engine, domain, served)
    else:
        _order_and_record(engine, domain)


def _install_again(engine: NodeEngine, domain: Domain, served: Certificate) -> None:
    """Install a certificate again whose row does not know of it.

    The worker was killed before it updated the row, or the router did not accept the certificate.
    """
    try:
        Certificates(engine.config).install(name_for(domain.host), served)
    except RuntimeFailure as failure:
        certificates.mark_refused(domain, failure.explain(), now=timezone.now())
    else:
        _record_served(domain, served, uploaded=False)


def _order_and_record(engine: NodeEngine, domain: Domain) -> None:
    try:
        found = _ordered(engine, domain.host)
    except RuntimeFailure as failure:
        certificates.mark_refused(
            domain, failure.explain(), now=timezone.now(), after=_not_before(failure)
        )
    else:
        _record_served(domain, found, uploaded=False)


def _order_platform_certificate(engine: NodeEngine, host: str) -> None:
    row, now = platform_certificates.rows().get(host), timezone.now()
    if row is not None and row.next_try_at is not None and row.next_try_at > now:
        return  # another worker was faster
    served = Certificates(engine.config).get(name_for(host))
    is_recorded = row is not None and served is not None and row.not_after == served.not_after
    try:
        if served is None or served.due(now) or is_recorded:
            served = _ordered(engine, host)
        else:
            Certificates(engine.config).install(name_for(host), served)  # as in _install_again
    except RuntimeFailure as failure:
        platform_certificates.mark_refused(
            host, failure.explain(), now=timezone.now(), after=_not_before(failure)
        )
    else:
        platform_certificates.mark_served(
            host,
            issuer=served.issuer,
            names=served.names,
            not_after=served.not_after,
            renew_at=_renew_at(served),
        )


def _ordered(engine: NodeEngine, host: str) -> Certificate:
    """Order a certificate, install it and return it."""
    # Imported here: its libraries take 12 MB, and a node without HTTPS never needs them.
    from runtime.router.tls.acme import Authority

    authority = Authority(
        engine.config,
        publish=engine.router.answer_challenge,
        withdraw=engine.router.forget_challenge,
    )
    found = authority.order([host])
    Certificates(engine.config).install(name_for(host), found)
    return found


def _not_before(failure: RuntimeFailure) -> float:
    """Return the seconds that the authority asks to wait before the next order."""
    return failure.retry_after if isinstance(failure, CertificateRefused) else 0


def _record_served(domain: Domain, certificate: Certificate, *, uploaded: bool) -> None:
    certificates.mark_served(
        domain,
        uploaded=uploaded,
        issuer=certificate.issuer,
        names=certificate.names,
        not_after=certificate.not_after,
        renew_at=None if uploaded else _renew_at(certificate),
    )


def _renew_at(certificate: Certificate) -> datetime:
    """Return the time when a third of the certificate's lifetime is left."""
    return certificate.not_after - (certificate.not_after - certificate.not_before) / 3
