"""Custom domains over HTTP: validation, access, pages, the API, and the storage of keys."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import redis
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from portal.activity.access import audit_of_app
from portal.domains import access, actions, certificates
from portal.domains.hosts import check_host
from portal.domains.models import Domain, DomainCertificate, DomainState
from portal.errors import Conflict, ValueRefused
from portal.lifecycle import domain_removal
from portal.lifecycle.key_rotation import reencrypt_all
from portal.traffic import actions as traffic
from portal.traffic.access import traffic_of
from tests.portal.conftest import People
from tests.portal.test_api import Caller
from tests.portal.test_queue import queued

CHAIN = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nsecretsecret\n-----END PRIVATE KEY-----\n"


def verified(people: People, host: str = "shop.example.com") -> Domain:
    domain = actions.add(people.owner, app=people.app(), host=host)
    assert actions.mark_verified(domain, "by a DNS record", timezone.now())
    domain.refresh_from_db()
    return domain


@pytest.fixture
def browser(people: People) -> Client:
    client = Client()
    client.force_login(people.owner)
    return client


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("https://shop.example.com/", "is a URL"),
        ("shop.example.com:8080", "is a URL"),
        ("shop", "not a valid hostname"),
        ("*.com", "not a valid hostname"),
        ("a.*.example.com", "not a valid hostname"),
        ("-a.example.com", "not a valid hostname"),
        ("a_b.example.com", "not a valid hostname"),
        ("a b.example.com", "not a valid hostname"),
        (f"{'a' * 64}.example.com", "not a valid hostname"),
        ("bücher.example.com", "xn--"),
        ("192.0.2.7", "Nobody can own"),
        ("printer.local", "Nobody can own"),
        ("hello.slipway.localhost", "Nobody can own"),
        ("apps.example.net", "belongs to this Slipway"),
        ("mine.apps.example.net", "belongs to this Slipway"),
        ("*.apps.example.net", "belongs to this Slipway"),
        ("*.example.net", "belongs to this Slipway"),
        ("portal.example.org", "belongs to this Slipway"),
    ],
)
def test_names_that_nobody_can_own_are_refused(
    host: str, says: str, settings: LazySettings
) -> None:
    settings.BASE_DOMAIN, settings.PORTAL_HOST = "apps.example.net", "portal.example.org"
    with pytest.raises(ValueRefused) as refused:
        check_host(host)
    assert refused.value.field == "host"
    assert says in refused.value.explain()


def test_a_domain_is_stored_in_the_form_of_dns() -> None:
    assert check_host(" Shop.Example.COM. ") == "shop.example.com"
    assert check_host("*.example.com") == "*.example.com"
    assert check_host("xn--bcher-kva.example") == "xn--bcher-kva.example"


def test_the_api_adds_shows_verifies_and_removes_a_domain(
    committed_people: People, broker: redis.Redis
) -> None:
    people = committed_people
    app, caller = people.app(), Caller(people.token(people.owner))
    queued(broker)
    status, body = caller("post", "/apps/hello/domains", {"host": "Shop.example.com"})
    assert (status, body["host"], body["state"], body["certificate"]) == (
        201,
        "shop.example.com",
        "waiting",
        None,
    )
    domain = Domain.objects.get()
    assert body["proof"] == {
        "record": "_slipway.shop.example.com",
        "file": "http://shop.example.com/.well-known/slipway-domain.txt",
        "token": domain.token,
    }
    assert len(domain.token) == 32
    assert queued(broker) == [("upkeep", "slipway.check_domain", [domain.pk])]
    assert caller("post", "/apps/hello/domains", {"host": "shop.example.com"})[0] == 400
    status, body = caller("post", "/apps/hello/domains", {"host": "localhost"})
    assert (status, body["error"]) == (400, "'localhost' is not a valid hostname.")
    assert caller("post", "/apps/hello/domains/shop.example.com/verify")[0] == 202
    assert queued(broker) == [("upkeep", "slipway.check_domain", [domain.pk])]
    assert (
        caller(
            "put", "/apps/hello/domains/shop.example.com/certificate", {"chain": CHAIN, "key": KEY}
        )[0]
        == 409
    )
    actions.mark_verified(domain, "by a DNS record", timezone.now())
    assert ("node", "slipway.converge", [app.pk]) in queued(broker)
    assert (
        caller(
            "put", "/apps/hello/domains/shop.example.com/certificate", {"chain": CHAIN, "key": KEY}
        )[0]
        == 202
    )
    assert queued(broker) == [("upkeep", "slipway.tend_certificate", [domain.pk])]
    assert (
        caller(
            "put", "/apps/hello/domains/shop.example.com/certificate", {"chain": CHAIN, "key": "?"}
        )[0]
        == 400
    )
    assert [domain["state"] for domain in caller("get", "/apps/hello/domains")[1]] == ["verified"]
    assert caller("delete", "/apps/hello/domains/shop.example.com") == (204, None)
    assert ("node", "slipway.converge", [app.pk]) in queued(broker)
    assert caller("get", "/apps/hello/domains") == (200, [])
    assert caller("delete", "/apps/hello/domains/shop.example.com")[0] == 404
    texts = [entry.text for entry in audit_of_app(app)]
    for words in (
        "added the domain shop.example.com",
        "uploaded a certificate for shop.example.com",
        "removed the domain shop.example.com",
    ):
        assert words in texts


def test_other_teams_can_neither_see_nor_change_it(people: People) -> None:
    domain = verified(people)
    caller = Caller(people.token(people.stranger))
    assert caller("get", "/apps/hello/domains")[0] == 404
    assert caller("delete", f"/apps/hello/domains/{domain.host}")[0] == 404
    client = Client()
    client.force_login(people.stranger)
    for action in ("verify", "remove", "certificate", "order"):
        assert client.post(f"/apps/hello/domains/{domain.host}/{action}").status_code == 404
    assert Domain.objects.get().state == DomainState.VERIFIED


def test_a_domain_that_is_verified_elsewhere_is_refused(people: People) -> None:
    domain = verified(people)
    other = people.app("other")
    with pytest.raises(Conflict, match="Another app already has this domain"):
        actions.add(people.owner, app=other, host=domain.host)
    actions.add(people.owner, app=other, host="www.shop.example.com")
    domain_removal.remove(people.owner, domain=domain)
    assert actions.add(people.owner, app=other, host=domain.host).state == DomainState.WAITING


def test_a_verified_domain_can_be_the_canonical_host_until_it_is_removed(
    people: People, browser: Client
) -> None:
    domain = verified(people)
    app = domain.app
    wild = actions.add(people.owner, app=app, host="*.shop.example.com")
    actions.mark_verified(wild, "by a DNS record", timezone.now())
    assert access.hosts_of(app) == (
        "hello.slipway.localhost",
        "*.shop.example.com",
        "shop.example.com",
    )
    form = {"canonical_host": "shop.example.com", "https_only": "on", "hsts_seconds": "300"}
    assert browser.post("/apps/hello/domains/addresses", form).status_code == 302
    row = traffic_of(app)
    assert (row.canonical_host, row.https_only, row.hsts_seconds) == ("shop.example.com", True, 300)
    for host in ("*.shop.example.com", "elsewhere.example.com"):
        with pytest.raises(ValueRefused, match="is not a host of this app"):
            traffic.change(people.owner, app=app, changes={"canonical_host": host})
        assert (
            browser.post(
                "/apps/hello/domains/addresses", {**form, "canonical_host": host}
            ).status_code
            == 422
        )
    domain_removal.remove(people.owner, domain=domain)
    assert traffic_of(app).canonical_host == ""


def test_the_page_explains_and_works_with_plain_forms(
    people: People, browser: Client, settings: LazySettings
) -> None:
    settings.HTTPS_PORT = 443
    people.app()
    page = browser.get("/apps/hello/settings/domains").content.decode()
    assert "No domains yet" in page
    assert "with a certificate that is renewed automatically" in page
    refused = browser.post("/apps/hello/domains/add", {"host": "https://x.example.com"})
    assert refused.status_code == 422
    assert "Leave out http://" in refused.content.decode()
    page = browser.post(
        "/apps/hello/domains/add", {"host": "shop.example.com"}, follow=True
    ).content.decode()
    domain = Domain.objects.get()
    for text in (
        "_slipway.shop.example.com",
        domain.token,
        "http://shop.example.com/.well-known/slipway-domain.txt",
        "Waiting for verification",
    ):
        assert text in page
    assert f'data-copy="{domain.token}"' in page
    actions.mark_unproven(
        domain, "There is no TXT record _slipway.shop.example.com.", timezone.now()
    )
    assert (
        "There is no TXT record _slipway.shop.example.com."
        in browser.get("/apps/hello/settings/domains").content.decode()
    )
    assert (
        "is being checked"
        in browser.post(f"/apps/hello/domains/{domain.host}/verify", follow=True).content.decode()
    )
    domain.refresh_from_db()
    actions.mark_verified(domain, "by a DNS record", timezone.now())
    page = browser.get("/apps/hello/settings/domains").content.decode()
    assert "A certificate is being ordered" in page
    assert domain.token not in page
    certificates.mark_refused(domain, "The authority had enough.\nWait.", now=timezone.now())
    page = browser.get("/apps/hello/settings/domains").content.decode()
    assert "No certificate yet" in page
    assert "The authority had enough." in page
    assert "Next attempt" in page
    until = timezone.now() + timedelta(days=60)
    certificates.mark_served(
        domain,
        uploaded=False,
        issuer="CN=Some CA",
        names=[domain.host],
        not_after=until,
        renew_at=until,
    )
    page = browser.get("/apps/hello/settings/domains").content.decode()
    sentence = re.sub(r"</?time[^>]*>", "", page)
    assert (
        f"Renewed automatically, valid until {until.day} {until:%b} {until.year}, from CN=Some CA"
        in sentence
    )
    assert "Order a certificate" not in page
    refused = browser.post(
        f"/apps/hello/domains/{domain.host}/certificate", {"chain": "hello", "key": KEY}
    )
    assert refused.status_code == 422
    assert "This is not in PEM format." in refused.content.decode()
    assert "secretsecret" not in browser.get("/apps/hello/settings/domains").content.decode()
    DomainCertificate.objects.update(uploaded=True, not_after=timezone.now() + timedelta(days=3))
    assert "Upload a new one" in browser.get("/apps/hello/settings/domains").content.decode()
    DomainCertificate.objects.update(not_after=timezone.now() - timedelta(days=3))
    assert (
        "The certificate expired on" in browser.get("/apps/hello/settings/domains").content.decode()
    )
    assert (
        "is being ordered"
        in browser.post(f"/apps/hello/domains/{domain.host}/order", follow=True).content.decode()
    )
    assert not DomainCertificate.objects.get().uploaded
    assert (
        "was removed from hello"
        in browser.post(f"/apps/hello/domains/{domain.host}/remove", follow=True).content.decode()
    )
    settings.HTTPS_PORT = 0
    assert "does not serve HTTPS" in browser.get("/apps/hello/settings/domains").content.decode()


def test_a_key_is_stored_encrypted_until_it_is_taken_once(
    people: People, settings: LazySettings
) -> None:
    domain = verified(people)
    certificates.upload(people.owner, domain=domain, chain=CHAIN, key=KEY)
    row = DomainCertificate.objects.get()
    assert b"secretsecret" not in bytes(row.encrypted_upload or b"")
    new = Fernet.generate_key().decode()
    settings.CONFIG_KEYS = [new, *settings.CONFIG_KEYS]
    assert reencrypt_all() == 1
    settings.CONFIG_KEYS = [new]
    taken = certificates.take_upload(row)
    assert taken is not None
    assert (taken.chain, taken.key) == (CHAIN, KEY)
    assert DomainCertificate.objects.get().encrypted_upload is None
    assert certificates.take_upload(row) is None


def test_a_domain_is_checked_less_and_less_often(people: People) -> None:
    domain = actions.add(people.owner, app=people.app(), host="slow.example.com")
    now, pauses = timezone.now(), []
    assert access.checks_due(now + timedelta(seconds=1)) == [domain.pk]
    for _ in range(12):
        actions.mark_unproven(domain, "There is no record.", now)
        domain.refresh_from_db()
        assert domain.next_check_at is not None
        pauses.append((domain.next_check_at - now).total_seconds())
    assert pauses[:4] == [15, 30, 60, 120]
    assert pauses[-1] == 3600
    assert access.checks_due(now) == []
