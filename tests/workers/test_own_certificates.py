"""Tests of certificates for the platform's own names, with real ACME and HAProxy servers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import redis
from django.conf import LazySettings
from django.utils import timezone

from portal.apps.models import App
from portal.domains import platform_certificates
from portal.domains.models import OwnCertificate
from runtime.router.tls.certificate_store import Certificates, name_for
from tests.portal.conftest import Crew
from tests.runtime.router.conftest import RouterUnderTest, free_port
from tests.runtime.router.support.authority import pebble
from tests.workers.test_domains import crew, front, names, shown, working_with
from workers.tasks.certificates import due_certificates, order_certificates
from workers.tasks.domains import update_domains

__all__ = ["crew", "front", "names"]


@pytest.mark.slow
def test_the_portal_and_apps_get_certificates_for_their_own_names(
    crew: Crew,
    front: RouterUnderTest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broker: redis.Redis,
    settings: LazySettings,
) -> None:
    settings.HTTPS_OURSELVES, settings.PORTAL_HOST, settings.BASE_DOMAIN = (
        True,
        "slipway.example.com",
        "apps.example.com",
    )
    crew.app()
    with pebble(tmp_path, http_port=front.config.http_port) as (directory, ca):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca))
        config = replace(
            front.config, acme_directory=directory, acme_dns_hook=tmp_path / "dns-hook"
        )
        with working_with(front, config) as engine:
            assert due_certificates(engine, timezone.now()) == [
                "slipway.example.com",
                "hello.apps.example.com",
            ]
            broker.flushall()
            update_domains()
            assert broker.llen("upkeep") == 1
            order_certificates()
            for host in platform_certificates.hosts():
                assert "Pebble" in shown(front, host).issuer.rfc4514_string()
            assert due_certificates(engine, timezone.now()) == []
            serial = shown(front, "slipway.example.com").serial_number
            order_certificates()
            assert shown(front, "slipway.example.com").serial_number == serial, "it is not time yet"

            OwnCertificate.objects.filter(host="slipway.example.com").update(
                next_try_at=timezone.now()
            )
            assert due_certificates(engine, timezone.now()) == ["slipway.example.com"]
            order_certificates()
            assert shown(front, "slipway.example.com").serial_number != serial

            Certificates(config).remove(name_for("slipway.example.com"))
            assert due_certificates(engine, timezone.now()) == ["slipway.example.com"], (
                "its file is lost"
            )
            order_certificates()

            settings.HTTPS_OURSELVES = False
            update_domains()
            settings.HTTPS_OURSELVES, settings.ACME_DNS_HOOK = True, str(config.acme_dns_hook)
            update_domains()
            single = shown(front, "hello.apps.example.com").serial_number
            assert single != shown(front, "any.apps.example.com").serial_number, (
                "it stays until there is a wildcard certificate"
            )
            order_certificates()
            update_domains()
            assert name_for("hello.apps.example.com") not in Certificates(config).names()
            assert (
                shown(front, "any.apps.example.com").serial_number
                == shown(front, "hello.apps.example.com").serial_number
                != single
            )

            App.objects.update(deleted_at=timezone.now())
            OwnCertificate.objects.filter(host="slipway.example.com").update(
                next_try_at=timezone.now()
            )
        with working_with(
            front, replace(config, acme_directory=f"http://127.0.0.1:{free_port()}/dir")
        ) as engine:
            order_certificates()
            assert (
                "gave an unexpected answer"
                in OwnCertificate.objects.get(host="slipway.example.com").reason
            )
            assert due_certificates(engine, timezone.now()) == []
            update_domains()
            assert set(OwnCertificate.objects.values_list("host", flat=True)) == {
                "slipway.example.com",
                "*.apps.example.com",
            }
            assert (
                shown(front, "slipway.example.com").issuer.rfc4514_string().startswith("CN=Pebble")
            ), "the old certificate is still served"
