"""Tasks of custom domains: check their ownership, and start the certificate tasks that are due."""

from __future__ import annotations

from django.utils import timezone

from portal.domains import access, actions
from portal.domains.models import Domain, DomainState
from workers import node
from workers.celery import app as celery
from workers.tasks import certificates

MOST_AT_ONCE = 20  # domains to check per run of the schedule


@celery.task(name="slipway.tend_domains")
def update_domains() -> None:
    """Send the tasks that are due, and remove certificates of host names that are gone."""
    now = timezone.now()
    for domain_id in access.checks_due(now)[:MOST_AT_ONCE]:
        celery.send_task("slipway.check_domain", [domain_id], expires=15)
    engine = node.engine()
    if not engine.config.https_port:
        return
    certificates.remove_unused_certificates(engine)
    if certificates.due_certificates(engine, now):
        celery.send_task("slipway.order_certificates", expires=15)


@celery.task(name="slipway.check_domain")
def check_domain(domain_id: int) -> None:
    """Check the ownership of a domain once."""
    domain = (
        Domain.objects.select_related("app__team")
        .filter(pk=domain_id, state=DomainState.WAITING, app__deleted_at=None)
        .first()
    )
    if domain is None:
        return
    # Imported here: its libraries for DNS and HTTP take 10 MB, and most workers never need them.
    from workers.tasks.domain_ownership import Ownership

    finding = Ownership(node.engine().config).look(domain.host, domain.token)
    if finding.proven:
        actions.mark_verified(domain, finding.how, timezone.now())
    else:
        actions.mark_unproven(domain, finding.reason, timezone.now())
