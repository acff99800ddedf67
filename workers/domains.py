"""Tasks of custom domains: look for their proofs, and see that each verified one has a good certificate."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from portal.domains import access, actions, certificates
from portal.domains.models import Domain, DomainState
from runtime import journal
from runtime.engines.node import NodeEngine
from runtime.errors import CertificateRefused, RuntimeFailure
from runtime.router.acme import Authority
from runtime.router.certificate import Certificate, check
from runtime.router.certificates import ONLY, Certificates, known_roots, name_for
from workers import node
from workers.celery import app as celery
from workers.ownership import Ownership

MOST_AT_ONCE = 20  # of each kind, in one round of the clock


@celery.task(name="slipway.tend_domains")
def tend_domains() -> None:
    """Hand out what is due, and take away certificates of domains that are gone."""
    now = timezone.now()
    for domain_id in access.checks_due(now)[:MOST_AT_ONCE]:
        celery.send_task("slipway.check_domain", [domain_id], expires=15)
    engine = node.engine()
    if engine.config.https_port:
        for domain_id in _certificates_due(Certificates(engine.config), now)[:MOST_AT_ONCE]:
            celery.send_task("slipway.tend_certificate", [domain_id], expires=15)


@celery.task(name="slipway.check_domain")
def check_domain(domain_id: int) -> None:
    """Look once whether a domain is proven."""
    domain = Domain.objects.select_related("app__team").filter(pk=domain_id, state=DomainState.WAITING, app__deleted_at=None).first()
    if domain is None:
        return
    finding = Ownership(node.engine().config).look(domain.host, domain.token)
    if finding.proven:
        actions.mark_verified(domain, finding.how, timezone.now())
    else:
        actions.mark_unproven(domain, finding.reason, timezone.now())


@celery.task(name="slipway.tend_certificate")
def tend_certificate(domain_id: int) -> None:
    """Take over an upload, or order a certificate that is missing or due."""
    engine = node.engine()
    domain = access.verified_domains().filter(pk=domain_id).first()
    if domain is None or not engine.config.https_port:
        return
    if _take_upload(engine, domain):
        return
    with journal.lock(engine.config.locks / "certificate-orders", blocking=False) as held:
        if held:  # one order at a time: they share an account; the clock hands the others out again
            _order(engine, domain)


def _certificates_due(served: Certificates, now: datetime) -> list[int]:
    domains = list(access.verified_domains())
    files = served.names()
    for gone in files - {name_for(domain.host) for domain in domains}:
        if gone.startswith(ONLY):
            served.remove(gone)
    due = []
    for domain in domains:
        row = access.certificate_of(domain)
        if row is not None and row.not_after is not None and name_for(domain.host) not in files:
            certificates.mark_lost(domain)
        elif row is not None and (row.next_try_at is None or row.next_try_at > now):
            continue  # nothing is due
        due.append(domain.pk)
    return due


def _take_upload(engine: NodeEngine, domain: Domain) -> bool:
    """True if there was one. The row is wiped before it is looked at: whatever comes of it, the key lies nowhere but with the router."""
    row = access.certificate_of(domain)
    upload = certificates.take_upload(row) if row is not None else None
    if upload is None:
        return False
    now = timezone.now()
    try:
        found = check(upload.chain, upload.key, now=now, roots=known_roots())
        if not found.covers(domain.host):
            raise CertificateRefused(
                f"The certificate is for {', '.join(found.names)}, and not for {domain.host}.", hint="Upload the one that names it."
            )
        Certificates(engine.config).install(name_for(domain.host), found)
    except RuntimeFailure as failure:
        served = Certificates(engine.config).get(name_for(domain.host))
        certificates.mark_refused(domain, failure.explain(), now=now, renew_at=_renew_at(served) if served else None)
        return True
    _tell(domain, found, uploaded=True)
    return True


def _order(engine: NodeEngine, domain: Domain) -> None:
    row, now = access.certificate_of(domain), timezone.now()
    served = Certificates(engine.config).get(name_for(domain.host))
    if row is not None and row.next_try_at is not None and row.next_try_at > now:
        return  # another worker was quicker
    if row is not None and row.uploaded and served is not None:
        certificates.rest(domain, None)
    elif served is not None and not served.due(now) and (row is None or row.not_after != served.not_after):
        _tell(domain, served, uploaded=False)  # whoever installed it was killed before it said so
    else:
        _order_anew(engine, domain)


def _order_anew(engine: NodeEngine, domain: Domain) -> None:
    authority = Authority(engine.config, publish=engine.router.answer_challenge, withdraw=engine.router.forget_challenge)
    try:
        found = authority.order([domain.host])
        Certificates(engine.config).install(name_for(domain.host), found)
    except RuntimeFailure as failure:
        after = failure.retry_after if isinstance(failure, CertificateRefused) else 0
        certificates.mark_refused(domain, failure.explain(), now=timezone.now(), after=after)
    else:
        _tell(domain, found, uploaded=False)


def _tell(domain: Domain, one: Certificate, *, uploaded: bool) -> None:
    certificates.mark_served(
        domain,
        uploaded=uploaded,
        issuer=one.issuer,
        names=one.names,
        not_after=one.not_after,
        renew_at=None if uploaded else _renew_at(one),
    )


def _renew_at(one: Certificate) -> datetime:
    """When a third of its life is left."""
    return one.not_after - (one.not_after - one.not_before) / 3
