"""Two apps over HTTPS, each with its own certificate, in a real browser through a real HAProxy."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificates
from playwright.sync_api import Browser, Error

from portal.domains import certificates
from portal.domains.models import Domain, DomainCertificate
from portal.traffic.actions import change
from runtime.router.routes import AppRoutes
from runtime.router.tls.certificate_store import Certificates, name_for
from tests.conftest import QUIET_BROWSER
from tests.portal.conftest import People, make_people
from tests.runtime.router.conftest import RouterUnderTest, end, free_port, router_of_its_own
from tests.runtime.router.support.authority import TestAuthority, pebble
from tests.workers.nameserver import NameServer
from tests.workers.test_domains import verified, working_with
from workers.bridge.translate import desired_app
from workers.tasks.certificates import update_certificate

ORDERED, UPLOADED, BARE = "one.example.com", "two.example.com", "three.example.com"
APPS = (("one", ORDERED), ("two", UPLOADED), ("three", BARE))
YEAR = 31_536_000


@pytest.fixture
def people(transactional_db: None, broker: redis.Redis) -> People:
    return make_people()


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer() as server:
        yield server


@pytest.fixture
def front(names: NameServer) -> Iterator[RouterUnderTest]:
    with router_of_its_own(https_port=free_port(), resolver=names.address) as under_test:
        yield under_test


@pytest.mark.slow
def test_a_browser_sees_two_apps_over_https_each_with_its_own_certificate(
    people: People,
    front: RouterUnderTest,
    names: NameServer,
    chromium: Browser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = TestAuthority("Browser Root")
    with pebble(tmp_path, http_port=front.config.http_port) as (directory, ca):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca))
        with working_with(front, replace(front.config, acme_directory=directory)):
            ordered, uploaded, bare = (led(people, front, names, name, host) for name, host in APPS)
            update_certificate(ordered.pk)
            chain, key = root.issue(UPLOADED)
            certificates.upload(people.owner, domain=uploaded, chain=chain + root.pem, key=key)
            update_certificate(uploaded.pk)
            for domain in (ordered, uploaded):
                assert DomainCertificate.objects.get(domain=domain).reason == ""
    served = Certificates(front.config).get(name_for(ORDERED))
    assert served is not None
    issuer = load_pem_x509_certificates(served.pem.encode())[1]
    browser = chromium.browser_type.launch(
        executable_path="/usr/bin/chromium",
        args=[
            *QUIET_BROWSER,
            "--host-resolver-rules=MAP *.example.com 127.0.0.1",
            # Other authorities are not trusted, and errors of other chains are not ignored.
            f"--ignore-certificate-errors-spki-list={pin(issuer)},{pin(root.certificate)}",
        ],
    )
    try:
        for domain, issued_by in ((ordered, "Pebble"), (uploaded, "Browser Root")):
            page = browser.new_context().new_page()
            answer = page.goto(f"http://{domain.host}:{front.config.http_port}/")
            assert answer is not None
            assert page.url == f"https://{domain.host}:{front.config.https_port}/", (
                "Redirect HTTP to HTTPS"
            )
            redirect = answer.request.redirected_from
            assert redirect is not None
            assert redirect.response().status == 308
            assert (answer.status, answer.json()["name"]) == (200, f"{domain.app.name}-1")
            assert answer.header_value("strict-transport-security") == f"max-age={YEAR}"
            seen = answer.security_details()
            assert seen is not None
            assert seen["subjectName"] == domain.host
            assert issued_by in seen["issuer"]
            assert seen["protocol"] == "TLS 1.3"
            assert (
                seen["validTo"]
                == DomainCertificate.objects.get(domain=domain).not_after.timestamp()
            )
            assert (
                page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
                == "h2"
            )
        with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
            browser.new_page().goto(f"https://{bare.host}:{front.config.https_port}/")
    finally:
        browser.close()


def led(people: People, front: RouterUnderTest, names: NameServer, name: str, host: str) -> Domain:
    """Create a verified domain of an app that allows only HTTPS and answers behind the router."""
    app = people.app(name)
    domain = verified(people, app, host, names)
    change(people.owner, app=app, changes={"https_only": True, "hsts_seconds": YEAR})
    wanted = desired_app(app)
    sample = front.app(f"{name}-1")
    front.router.set(
        AppRoutes(app=name, hosts=wanted.hosts, endpoints=(end(sample),), policy=wanted.policy)
    )
    return domain


def pin(certificate) -> str:
    """Return the SHA-256 of the certificate's SubjectPublicKeyInfo in base64, by which Chromium
    identifies a key."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()
