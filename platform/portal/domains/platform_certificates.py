"""Certificates for the names of this Slipway: which ones are needed, and their state. Workers order
them.

They are needed only if people use HTTPS and no proxy in front of this Slipway handles it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from django.conf import settings

from portal.activity import audit
from portal.apps.access import host_of
from portal.apps.models import App
from portal.domains.certificates import pause
from portal.domains.models import OwnCertificate

# top-level names for which no authority issues certificates
_NO_AUTHORITY = ("localhost", "invalid", "onion")


def hosts() -> list[str]:
    """Return the hosts that need a certificate, the portal's first. With a program for DNS records,
    one wildcard serves all apps."""
    if not settings.HTTPS_OURSELVES:
        return []
    below = settings.BASE_DOMAIN
    apps = App.objects.filter(deleted_at=None).order_by("pk").values_list("name", flat=True)
    names = [f"*.{below}"] if settings.ACME_DNS_HOOK else [f"{name}.{below}" for name in apps]
    return [host for host in (settings.PORTAL_HOST, *names) if _has_authority(host)]


def living() -> list[str]:
    """Return all hosts that could have a certificate, even if none is ordered for them now."""
    below = settings.BASE_DOMAIN
    apps = App.objects.filter(deleted_at=None).values_list("name", flat=True)
    return [settings.PORTAL_HOST, f"*.{below}", *(f"{name}.{below}" for name in apps)]


def for_app(app: App) -> tuple[bool, OwnCertificate | None]:
    """Return True if the app's default hostname needs a certificate, and the state of that
    certificate."""
    host = f"*.{settings.BASE_DOMAIN}" if settings.ACME_DNS_HOOK else host_of(app)
    return (
        settings.HTTPS_OURSELVES and _has_authority(host),
        OwnCertificate.objects.filter(host=host).first(),
    )


def rows() -> dict[str, OwnCertificate | None]:
    """Return the state by host, the portal's first. None if no order was tried yet."""
    found = {row.host: row for row in OwnCertificate.objects.all()}
    return {host: found.get(host) for host in hosts()}


def forget_all_but(hosts: Sequence[str]) -> None:
    """Delete the state of all other hosts. For the workers."""
    OwnCertificate.objects.exclude(host__in=hosts).delete()


def mark_served(
    host: str, *, issuer: str, names: Sequence[str], not_after: datetime, renew_at: datetime
) -> None:
    """Record the certificate that browsers get from now on. For the workers."""
    values = {
        "issuer": issuer[:300],
        "names": list(names),
        "not_after": not_after,
        "reason": "",
        "tries": 0,
        "next_try_at": renew_at,
    }
    OwnCertificate.objects.update_or_create(host=host, defaults=values)
    audit.record(None, f"installed a certificate for {host}, valid until {not_after:%Y-%m-%d}")


def mark_refused(host: str, reason: str, *, now: datetime, after: float = 0) -> None:
    """Record that an order failed. The previous certificate is still served. For the workers."""
    row, _ = OwnCertificate.objects.get_or_create(host=host)
    OwnCertificate.objects.filter(pk=row.pk).update(
        reason=reason, tries=row.tries + 1, next_try_at=now + pause(row.tries, after)
    )


def mark_lost(host: str) -> None:
    """Record that the router has lost the certificate's file, so that a new one is ordered. For the
    workers."""
    OwnCertificate.objects.filter(host=host).update(not_after=None, next_try_at=None)


def _has_authority(host: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return False
    return "." in host and host.rpartition(".")[2] not in _NO_AUTHORITY
