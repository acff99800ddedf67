"""Tests of custom domains.

The DNS server, the web servers, the ACME server and HAProxy are real.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import redis
from cryptography import x509
from django.utils import timezone

from portal.activity.access import audit_of_app
from portal.apps.models import App
from portal.domains import access, actions, certificates
from portal.domains.models import Domain, DomainCertificate, DomainState
from portal.lifecycle import domain_removal
from portal.lifecycle.app_actions import create_app
from runtime.config import NodeConfig
from runtime.engines.node import NodeEngine
from runtime.router.config.frontend import PROOF_PATH
from runtime.router.routes import AppRoutes
from runtime.router.tls.certificate import check
from runtime.router.tls.certificate_store import Certificates, name_for
from tests.portal.conftest import Crew, make_crew
from tests.runtime.router.conftest import RouterUnderTest, end, free_port, router_of_its_own
from tests.runtime.router.support.authority import TestAuthority, pebble
from tests.workers.nameserver import NameServer
from tests.workers.sites import Site, forwarding
from workers import node
from workers.bridge.translate import desired_app
from workers.tasks.certificates import update_certificate
from workers.tasks.domain_ownership import Ownership
from workers.tasks.domains import check_domain, update_domains

ROOT_CA = TestAuthority("Test Root")
MIDDLE = TestAuthority("Test Middle", ROOT_CA)


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with NameServer() as server:
        yield server


@pytest.fixture(scope="module")
def front(names: NameServer) -> Iterator[RouterUnderTest]:
    with router_of_its_own(https_port=free_port(), resolver=names.address) as under_test:
        yield under_test


@pytest.fixture
def crew(transactional_db: None, broker: redis.Redis) -> Crew:
    return make_crew()


@pytest.fixture
def at_the_router(front: RouterUnderTest) -> Iterator[RouterUnderTest]:
    with working_with(front, front.config):
        yield front


@contextmanager
def working_with(front: RouterUnderTest, config: NodeConfig) -> Iterator[NodeEngine]:
    """Give the tasks of this process this router. Containers are not needed here."""
    before = node._chosen[-1] if node._chosen else None
    engine = NodeEngine(config, router=front.router)
    node.use(engine)
    try:
        yield engine
    finally:
        node.use(before)


def verified(crew: Crew, app: App, host: str, names: NameServer) -> Domain:
    domain = actions.add(crew.owner, app=app, host=host)
    names.records[access.record_name(domain), "TXT"] = [f'"{domain.token}"']
    check_domain(domain.pk)
    domain.refresh_from_db()
    assert domain.state == DomainState.VERIFIED, domain.reason
    return domain


def shown(front: RouterUnderTest, name: str) -> x509.Certificate:
    """Return the certificate that a browser gets for `name`."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", front.config.https_port), 5) as raw,
        context.wrap_socket(raw, server_hostname=name) as wrapped,
    ):
        return x509.load_der_x509_certificate(wrapped.getpeercert(binary_form=True))


def test_a_dns_record_proves_a_domain_and_routes_it_to_the_app(
    crew: Crew, at_the_router: RouterUnderTest, names: NameServer
) -> None:
    app = crew.app()
    domain = actions.add(crew.owner, app=app, host="Shop.Example.")
    assert (domain.host, domain.state) == ("shop.example", DomainState.WAITING)
    check_domain(domain.pk)
    domain.refresh_from_db()
    assert domain.state == DomainState.WAITING
    assert domain.reason.splitlines()[0] == "There is no TXT record _slipway.shop.example."
    assert domain.next_check_at is not None
    assert domain.next_check_at > timezone.now()
    assert desired_app(app).hosts == ("hello.slipway.localhost",)
    names.records["_slipway.shop.example", "TXT"] = ['"v=spf1 -all"', '"not it"']
    check_domain(domain.pk)
    domain.refresh_from_db()
    assert "“not it”, “v=spf1 -all”, and not the token" in domain.reason
    names.records["_slipway.shop.example", "TXT"] = [
        '"v=spf1 -all"',
        f'"{domain.token[:10]}" "{domain.token[10:]}"',
    ]
    check_domain(domain.pk)
    domain.refresh_from_db()
    assert (domain.state, domain.reason, domain.next_check_at) == (DomainState.VERIFIED, "", None)
    assert desired_app(app).hosts == ("hello.slipway.localhost", "shop.example")
    assert any("by a DNS record" in entry.text for entry in audit_of_app(app))
    wild = verified(crew, app, "*.shop.example", names)
    assert access.record_name(wild) == "_slipway.shop.example"


def test_the_first_app_that_proves_a_domain_gets_it(
    crew: Crew, at_the_router: RouterUnderTest, names: NameServer
) -> None:
    first = crew.app()
    late = actions.add(
        crew.stranger,
        app=create_app(crew.stranger, team=crew.red, name="other"),
        host="wanted.example",
    )
    verified(crew, first, "wanted.example", names)
    names.records["_slipway.wanted.example", "TXT"].append(f'"{late.token}"')
    check_domain(late.pk)
    late.refresh_from_db()
    assert late.state == DomainState.FAILED
    assert "Another app already has this domain." in late.reason


def test_checks_of_a_domain_end_after_a_week_without_proof(
    crew: Crew, at_the_router: RouterUnderTest
) -> None:
    domain = actions.add(crew.owner, app=crew.app(), host="never.example")
    Domain.objects.update(asked_at=timezone.now() - timedelta(days=8))
    check_domain(domain.pk)
    domain.refresh_from_db()
    assert (domain.state, domain.next_check_at) == (DomainState.FAILED, None)
    actions.verify(crew.owner, domain=domain)
    domain.refresh_from_db()
    assert domain.state == DomainState.WAITING


def test_a_file_proves_a_domain_only_at_its_current_address(
    front: RouterUnderTest, names: NameServer
) -> None:
    owned = Ownership(front.config, reachable=lambda _: True)
    with (
        Site(body=b"the-token\n") as good,
        Site(404) as empty,
        Site(body=b"x" * 5000) as long,
        Site(drip=True) as slow,
    ):
        names.records["site.example", "A"] = [good.address]
        found = owned.look("site.example", "the-token")
        assert (found.proven, found.how) == (True, "by a file")
        assert good.asked == [("site.example", PROOF_PATH)]
        assert "does not contain the token" in owned.look("site.example", "another").reason
        assert not owned.look("*.site.example", "the-token").proven, (
            "a file cannot prove a wildcard"
        )
        names.records["site.example", "A"] = [good.address, empty.address]
        assert f"answered 404, at {empty.address}" in owned.look("site.example", "the-token").reason
        names.records["site.example", "A"] = [long.address]
        assert "longer than a token" in owned.look("site.example", "x" * 5000).reason
        with Site(302, location=f"http://{good.address}{PROOF_PATH}") as moved:
            names.records["site.example", "A"] = [moved.address]
            assert "answered 302" in owned.look("site.example", "the-token").reason
            assert len(moved.asked) == 1
        names.records["site.example", "A"] = [slow.address]
        assert not owned.look("site.example", "x").proven
    names.records["site.example", "A"] = ["127.3.3.3"]
    assert "did not answer, at 127.3.3.3" in owned.look("site.example", "the-token").reason
    assert (
        "points to 127.3.3.3. Slipway does not request a file"
        in Ownership(front.config).look("site.example", "the-token").reason
    )
    names.records["site.example", "A"] = ["169.254.169.254"]
    assert (
        "does not request a file"
        in Ownership(front.config).look("site.example", "the-token").reason
    )
    silent = Ownership(replace(front.config, resolver=f"127.0.0.1:{free_port()}"))
    assert "DNS did not answer" in silent.look("site.example", "the-token").reason


def test_an_app_cannot_prove_a_name_that_already_leads_here(
    front: RouterUnderTest, names: NameServer
) -> None:
    """Check that the router answers the proof path itself.

    Otherwise any app that answers at the name could claim it: under a wildcard, or after another
    app had the name.
    """
    app = front.app("liar")
    front.router.set(AppRoutes(app="liar", hosts=("*.led.example",), endpoints=(end(app),)))
    assert front.get("/other", host="a.led.example").status_code == 200
    answer = front.get(PROOF_PATH, host="a.led.example")
    assert (answer.status_code, answer.text) == (404, "Not found")
    front.router.remove("liar")
    with forwarding(front) as address:
        names.records["a.led.example", "A"] = [address]
        found = Ownership(front.config, reachable=lambda _: True).look("a.led.example", "the-token")
    assert not found.proven
    assert "already points to this Slipway" in found.reason


@pytest.mark.slow
def test_two_domains_get_certificates_that_are_served_and_renewed(
    crew: Crew,
    front: RouterUnderTest,
    names: NameServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broker: redis.Redis,
) -> None:
    with pebble(tmp_path, http_port=front.config.http_port) as (directory, ca):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca))
        config = replace(
            front.config, acme_directory=directory, acme_dns_hook=tmp_path / "dns-hook"
        )
        with working_with(front, config):
            first_domain, second_domain = (
                verified(crew, crew.app(name), host, names)
                for name, host in (("one", "one.example.com"), ("two", "two.example.com"))
            )
            for domain in (first_domain, second_domain):
                sample = front.app(f"{domain.app.name}-1")
                front.router.set(
                    AppRoutes(
                        app=domain.app.name,
                        hosts=desired_app(domain.app).hosts,
                        endpoints=(end(sample),),
                    )
                )
            update_domains()
            for domain in (first_domain, second_domain):
                update_certificate(domain.pk)
                row = DomainCertificate.objects.get(domain=domain)
                assert (row.reason, row.names, row.uploaded) == ("", [domain.host], False)
                assert row.next_try_at is not None
                assert row.not_after is not None
                assert timezone.now() < row.next_try_at < row.not_after
                assert shown(front, domain.host).not_valid_after_utc == row.not_after
                assert served_by(front, domain.host) == f"{domain.app.name}-1"
            first = shown(front, "one.example.com").serial_number

            # A third of its life is left. It is ordered again, by the clock, and the other domain's
            # certificate does not change.
            old, key = MIDDLE.issue(
                "one.example.com", begins=timedelta(days=-60), ends=timedelta(days=20)
            )
            Certificates(config).install(
                name_for("one.example.com"), check(old + MIDDLE.pem, key, now=datetime.now(UTC))
            )
            DomainCertificate.objects.filter(domain=first_domain).update(
                next_try_at=timezone.now(), not_after=timezone.now() + timedelta(days=20)
            )
            other = shown(front, "two.example.com").serial_number
            broker.flushall()
            update_domains()
            assert broker.llen("upkeep") == 1
            update_certificate(first_domain.pk)
            assert shown(front, "one.example.com").serial_number != first
            assert "Pebble" in shown(front, "one.example.com").issuer.rfc4514_string()
            assert shown(front, "two.example.com").serial_number == other
            update_certificate(first_domain.pk)
            broker.flushall()
            update_domains()
            assert broker.llen("upkeep") == 0, "nothing is due"

            wild = verified(crew, first_domain.app, "*.example.com", names)
            update_certificate(wild.pk)
            assert DomainCertificate.objects.get(domain=wild).names == ["*.example.com"], (
                "proven by the DNS hook"
            )
            assert (
                shown(front, "any.example.com").serial_number
                != shown(front, "two.example.com").serial_number
            )

            domain_removal.remove(crew.owner, domain=first_domain)
            update_domains()
            assert name_for("one.example.com") not in Certificates(config).names()


def test_a_failed_order_has_a_reason_and_waits_longer_each_time(
    crew: Crew, front: RouterUnderTest, names: NameServer
) -> None:
    config = replace(front.config, acme_directory=f"http://127.0.0.1:{free_port()}/dir")
    with working_with(front, config):
        domain = verified(crew, crew.app(), "unlucky.example", names)
        update_certificate(domain.pk)
        row = DomainCertificate.objects.get(domain=domain)
        assert "gave an unexpected answer" in row.reason
        assert row.next_try_at is not None
        first = row.next_try_at - timezone.now()
        update_certificate(domain.pk)
        assert DomainCertificate.objects.get(domain=domain).tries == 1, "it is not time yet"
        DomainCertificate.objects.update(next_try_at=timezone.now())
        update_certificate(domain.pk)
        row.refresh_from_db()
        assert row.tries == 2
        assert row.next_try_at - timezone.now() > first
        wild = verified(crew, domain.app, "*.unlucky.example", names)
        update_certificate(wild.pk)
        assert "Upload one for the wildcard" in DomainCertificate.objects.get(domain=wild).reason


def test_an_uploaded_certificate_is_checked_and_serves_only_its_domain(
    crew: Crew, at_the_router: RouterUnderTest, names: NameServer
) -> None:
    front = at_the_router
    domain = verified(crew, crew.app(), "own.example", names)
    chain, key = MIDDLE.issue("own.example", "portal.test")
    _, other_key = MIDDLE.issue("own.example")
    elsewhere, its_key = MIDDLE.issue("elsewhere.example")
    for bad, with_key, message in (
        (chain + MIDDLE.pem, other_key, "does not belong to the certificate"),
        (chain, key, "Test Middle is missing"),
        (elsewhere + MIDDLE.pem, its_key, "is for elsewhere.example, and not for own.example"),
    ):
        certificates.upload(crew.owner, domain=domain, chain=bad, key=with_key)
        update_certificate(domain.pk)
        row = DomainCertificate.objects.get(domain=domain)
        assert message in row.reason
        assert (row.encrypted_upload, row.not_after) == (None, None)
    certificates.upload(crew.owner, domain=domain, chain=chain + MIDDLE.pem, key=key)
    row = DomainCertificate.objects.get(domain=domain)
    assert b"PRIVATE KEY" not in bytes(row.encrypted_upload or b"")
    update_certificate(domain.pk)
    row.refresh_from_db()
    assert (row.reason, row.encrypted_upload, row.uploaded, row.next_try_at) == (
        "",
        None,
        True,
        None,
    )
    assert row.issuer == "CN=Test Middle"
    assert shown(front, "own.example").not_valid_after_utc == row.not_after
    assert shown(front, "portal.test").subject.rfc4514_string() == "CN=slipway.invalid", (
        "another name keeps its certificate"
    )
    (front.config.certificates / f"{name_for('own.example')}.pem").unlink()
    update_domains()
    row.refresh_from_db()
    assert row.not_after is None, "the file is lost: a new certificate is ordered"


def served_by(front: RouterUnderTest, host: str) -> str:
    """Return the name of the app that answers over HTTPS."""
    with httpx.Client(verify=False, trust_env=False, timeout=15) as client:
        url = f"https://127.0.0.1:{front.config.https_port}/"
        return str(
            client.get(url, headers={"Host": host}, extensions={"sni_hostname": host}).json()[
                "name"
            ]
        )
