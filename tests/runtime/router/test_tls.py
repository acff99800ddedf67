"""Tests of HTTPS: the certificate for each name, changes at run time, and orders from a real ACME
server. Most tests share one HAProxy.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from runtime.contract.error_codes import Code
from runtime.errors import CertificateRefused, RouterRefused
from runtime.router.policy import Policy
from runtime.router.routes import AppSituation
from runtime.router.tls.acme import Authority
from runtime.router.tls.certificate import Certificate, check, self_signed
from runtime.router.tls.certificate_store import Certificates, known_roots
from tests.runtime.router.conftest import (
    RouterUnderTest,
    check_page,
    end,
    free_port,
    router_of_its_own,
    routes_to,
)
from tests.runtime.router.support.authority import TestAuthority, pebble

ROOT_CA = TestAuthority("Test Root")
MIDDLE = TestAuthority("Test Middle", ROOT_CA)
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def shared() -> Iterator[RouterUnderTest]:
    with router_of_its_own(https_port=free_port()) as under_test:
        under_test.router.set(routes_to(end(under_test.app("web-1"))))
        yield under_test


def issued(*names: str, ends: timedelta = timedelta(days=90)) -> Certificate:
    certificate, key = MIDDLE.issue(*names, ends=ends)
    return check(certificate + MIDDLE.pem, key, now=NOW)


def shown(running: RouterUnderTest, name: str | None) -> set[str]:
    """Return the names of the certificate that a browser gets for `name`."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", running.config.https_port), 5) as raw,
        context.wrap_socket(raw, server_hostname=name) as wrapped,
    ):
        from cryptography import x509

        found = x509.load_der_x509_certificate(wrapped.getpeercert(binary_form=True))
        return set(
            found.extensions.get_extension_for_class(
                x509.SubjectAlternativeName
            ).value.get_values_for_type(x509.DNSName)
        )


def ask(
    running: RouterUnderTest, host: str, path: str = "/", *, http2: bool = False, ca: str = ""
) -> httpx.Response:
    context = ssl.create_default_context(cadata=ca or ROOT_CA.pem)
    with httpx.Client(verify=context, http2=http2, trust_env=False, timeout=15) as client:
        url = f"https://127.0.0.1:{running.config.https_port}{path}"
        return client.get(
            url, headers={"Host": host, "Accept": "text/html"}, extensions={"sni_hostname": host}
        )


def test_each_name_has_its_certificate_and_a_change_needs_no_reload(shared: RouterUnderTest):
    certificates, worker = Certificates(shared.config), shared.router._api.workers()
    assert shown(shared, "hello.test") == shown(shared, None) == {"slipway.invalid"}
    certificates.install("hello.test", issued("hello.test"))
    certificates.install("wild", issued("*.wild.test", "wild.test"))
    assert shown(shared, "hello.test") == {"hello.test"}
    assert (
        shown(shared, "a.wild.test") == shown(shared, "wild.test") == {"*.wild.test", "wild.test"}
    )
    assert shown(shared, "a.b.wild.test") == shown(shared, None) == {"slipway.invalid"}
    seen = ask(shared, "hello.test").json()["headers"]
    assert seen["x-forwarded-proto"] == "https"
    certificates.install("hello.test", issued("hello.test", "www.hello.test"))
    assert (
        shown(shared, "www.hello.test")
        == shown(shared, "hello.test")
        == {"hello.test", "www.hello.test"}
    )
    assert ask(shared, "hello.test").status_code == 200
    certificates.install("hello.test", issued("hello.test"))
    assert shown(shared, "www.hello.test") == {"slipway.invalid"}
    certificates.remove("wild")
    certificates.remove("never-was")
    assert shown(shared, "wild.test") == {"slipway.invalid"}
    assert shared.router._api.workers() == worker
    shared.kill()
    shared.start()
    assert shown(shared, "hello.test") == {"hello.test"}
    assert shown(shared, "wild.test") == {"slipway.invalid"}


def test_a_certificate_installed_while_haproxy_is_down_is_used_at_its_start(
    shared: RouterUnderTest,
):
    certificates = Certificates(shared.config)
    shared.kill()
    certificates.install("later.test", issued("later.test"))
    (shared.config.certificates / "damaged.test.pem").write_text("-----BEGIN")
    certificates.prepare()
    shared.start()
    assert shown(shared, "later.test") == {"later.test"}
    assert "damaged.test" not in certificates.all()
    certificates.install("damaged.test", issued("damaged.test"))
    assert shown(shared, "damaged.test") == {"damaged.test"}


def test_browsers_use_http2_and_old_versions_of_tls_are_refused(shared: RouterUnderTest):
    Certificates(shared.config).install("hello.test", issued("hello.test"))
    answer = ask(shared, "hello.test", http2=True)
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", shared.config.https_port), 5) as raw,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(raw)


def test_http_redirects_to_https_which_sends_hsts(shared: RouterUnderTest):
    Certificates(shared.config).install("hello.test", issued("hello.test", "www.hello.test"))
    routes = replace(routes_to(end(shared.app("web-2"))), hosts=("hello.test", "www.hello.test"))
    policy = Policy(https_only=True, hsts_seconds=86_400, canonical_host="www.hello.test")
    shared.router.set(replace(routes, policy=policy))
    moved = shared.get("/a?b=c")
    assert moved.status_code == 308
    assert moved.headers["location"] == f"https://www.hello.test:{shared.config.https_port}/a?b=c"
    assert "strict-transport-security" not in moved.headers
    assert (
        shared.get(host="www.hello.test").headers["location"].startswith("https://www.hello.test:")
    )
    assert (
        ask(shared, "hello.test").headers["location"]
        == f"https://www.hello.test:{shared.config.https_port}/"
    )
    there = ask(shared, "www.hello.test")
    assert (there.status_code, there.headers["strict-transport-security"]) == (200, "max-age=86400")
    shared.router.set(replace(routes, situation=AppSituation.CRASHED))
    check_page(ask(shared, "hello.test", http2=True), Code.CRASHED, "text/html")
    shared.router.set(routes)


def test_a_certificate_is_ordered_and_renewed_in_any_state_of_the_app(
    shared: RouterUnderTest, tmp_path: Path
):
    with pebble(tmp_path, http_port=shared.config.http_port) as (directory, ca):
        config = replace(shared.config, acme_directory=directory, acme_contact="ops@example.com")
        publish, withdraw = shared.router.answer_challenge, shared.router.forget_challenge
        authority, certificates = (
            Authority(config, publish=publish, withdraw=withdraw, ca=ca),
            Certificates(config),
        )
        first = authority.order(["hello.test", "www.hello.test"])
        assert set(first.names) == {"hello.test", "www.hello.test"}
        certificates.install("hello.test", first)
        assert shown(shared, "hello.test") == {"hello.test", "www.hello.test"}
        routes = routes_to(end(shared.app("web-3")))
        states = [
            replace(
                routes,
                policy=Policy(maintenance=True, https_only=True, canonical_host="elsewhere.test"),
            ),
            replace(routes, situation=AppSituation.ASLEEP, endpoints=()),
        ]
        for state in states:
            shared.router.set(state)
            renewed = Authority(config, publish=publish, withdraw=withdraw, ca=ca).order(
                ["hello.test"]
            )
            certificates.install("hello.test", renewed)
            assert shown(shared, "hello.test") == {"hello.test"}
            assert renewed.pem != first.pem
        assert (shared.config.router / "maps" / "acme.map").read_text() == ""
        assert shared.router.reconcile() == []
        shared.router.set(routes)

        lost = Authority(config, publish=lambda *_: None, withdraw=lambda *_: None, ca=ca)
        with pytest.raises(
            CertificateRefused, match=r"could not verify that nobody\.test leads here"
        ) as refused:
            lost.order(["nobody.test"])
        assert "DNS record" in refused.value.hint
        with pytest.raises(CertificateRefused, match="refused the order for not a name"):
            authority.order(["not a name"])


def test_a_challenge_answer_has_precedence_and_survives_a_restart(shared: RouterUnderTest):
    shared.router.answer_challenge("tok-en_1", "tok-en_1.thumb")
    shared.router.answer_challenge("tok-en_1", "tok-en_1.thumb")
    shared.router.set(routes_to(end(shared.app("web-4"))))
    shared.kill()
    shared.start()
    path = "/.well-known/acme-challenge/"
    assert shared.get(f"{path}tok-en_1", host="of-nobody.test").text == "tok-en_1.thumb"
    assert shared.get(f"{path}other").json()["path"] == f"{path}other", (
        "an app may answer its own challenges"
    )
    shared.router.forget_challenge("tok-en_1")
    shared.router.forget_challenge("tok-en_1")
    assert shared.get(f"{path}tok-en_1").json()["path"] == f"{path}tok-en_1"
    with pytest.raises(RouterRefused):
        shared.router.answer_challenge("a; shutdown", "b")


def test_an_unreachable_or_limiting_authority_is_reported(shared: RouterUnderTest, tmp_path: Path):
    config = replace(
        shared.config, state=tmp_path, acme_directory=f"http://127.0.0.1:{free_port()}/dir"
    )
    with pytest.raises(CertificateRefused, match="gave an unexpected answer") as down:
        Authority(config, publish=lambda *_: None, withdraw=lambda *_: None).order(["hello.test"])
    assert down.value.retry_after == 0
    with limiting_authority() as directory:
        config = replace(config, acme_directory=directory)
        with pytest.raises(CertificateRefused, match="too many new orders") as limited:
            Authority(config, publish=lambda *_: None, withdraw=lambda *_: None).order(
                ["hello.test"]
            )
        assert limited.value.retry_after > 0
    with pytest.raises(CertificateRefused, match=r"\*\.hello\.test cannot be validated over HTTP"):
        Authority(config, publish=lambda *_: None, withdraw=lambda *_: None).order(["*.hello.test"])


class limiting_authority:  # noqa: N801 - reads as the context manager it is
    """ACME server that serves its directory and accounts, and refuses every order with a rate
    limit.
    """

    def __enter__(self) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.say(
                    200, {name: f"{url}/{name}" for name in ("newNonce", "newAccount", "newOrder")}
                )

            def do_HEAD(self) -> None:
                self.say(200, {})

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/newAccount":
                    return self.say(201, {"status": "valid"})
                return self.say(
                    429,
                    {
                        "type": "urn:ietf:params:acme:error:rateLimited",
                        "detail": "too many new orders",
                    },
                )

            def say(self, status: int, document: dict[str, str]) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                kind = "application/problem+json" if status == 429 else "application/json"
                for name, value in (
                    ("Content-Type", kind),
                    ("Replay-Nonce", "bm9uY2U"),
                    ("Location", f"{url}/account/1"),
                ):
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return url

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def refused_for(chain: str, key: str, **rest: object) -> str:
    with pytest.raises(CertificateRefused) as refused:
        check(chain, key, now=NOW, **rest)
    assert refused.value.hint
    return str(refused.value)


def test_each_fault_of_an_uploaded_certificate_is_reported():
    good, key = MIDDLE.issue("a.test")
    _, other_key = MIDDLE.issue("a.test")
    assert check(good + MIDDLE.pem, key, now=NOW).names == ("a.test",)
    assert "does not belong" in refused_for(good + MIDDLE.pem, other_key)
    assert "Test Middle is missing" in refused_for(good, key)
    assert (
        check(
            good, key, now=NOW, roots=frozenset([MIDDLE.certificate.subject.public_bytes()])
        ).issuer
        == "CN=Test Middle"
    )
    assert "did not issue" in refused_for(good + ROOT_CA.pem, key)
    assert "not in PEM form" in refused_for("hello", key)
    assert "not in PEM form" in refused_for(good + MIDDLE.pem, "hello")
    for wrong, said in (
        ({"ends": timedelta(hours=-1)}, "expired on"),
        ({"begins": timedelta(days=1)}, "not valid before"),
        ({"bits": 1024}, "1024 bits"),
    ):
        certificate, its_key = MIDDLE.issue("a.test", **wrong)
        assert said in refused_for(certificate + MIDDLE.pem, its_key)
    nameless, its_key = MIDDLE.issue()
    assert "names no host" in refused_for(nameless + MIDDLE.pem, its_key)


def test_the_names_and_the_renewal_time_of_a_certificate():
    certificate = issued("a.test", "*.b.test", ends=timedelta(days=59))  # valid for 60 days
    assert [
        host
        for host in ("a.test", "b.test", "x.b.test", "x.y.b.test", "x.a.test")
        if certificate.covers(host)
    ] == [
        "a.test",
        "x.b.test",
    ]
    assert not certificate.due(NOW + timedelta(days=38))
    assert certificate.due(NOW + timedelta(days=40))
    assert self_signed("x.test", now=NOW).names == ("x.test",)
    assert all(isinstance(name, bytes) for name in known_roots())


def test_due_certificates_are_listed_by_expiry(tmp_path: Path, shared: RouterUnderTest):
    certificates = Certificates(replace(shared.config, state=tmp_path, run=tmp_path))
    certificates.prepare()
    for name, days in (("late", 80), ("soon", 10), ("sooner", 5)):
        certificates.install(name, issued(f"{name}.test", ends=timedelta(days=days)))
    assert certificates.due(NOW + timedelta(days=9)) == ["sooner", "soon"]
    with pytest.raises(RouterRefused):
        certificates.install("../up", issued("up.test"))


def test_the_portal_redirects_to_https_if_the_router_serves_it():
    with router_of_its_own(https_port=free_port(), scheme="https") as running:
        answer = running.get("/apps?a=b", host="portal.test")
        assert answer.status_code == 308
        assert (
            answer.headers["location"]
            == f"https://portal.test:{running.config.https_port}/apps?a=b"
        )
        assert running.get(host="localhost").status_code == 503, (
            "programs of this machine may use HTTP"
        )
        app = running.app("a-1")
        running.router.set(routes_to(end(app)))
        Certificates(running.config).install("hello.test", issued("hello.test"))
        assert running.get().json()["headers"]["x-forwarded-proto"] == "http"
        assert ask(running, "hello.test").json()["headers"]["x-forwarded-proto"] == "https"
        assert running.router.reconcile() == []


def test_an_authority_without_a_usable_challenge_is_reported(shared: RouterUnderTest):
    authority = Authority(
        shared.config,
        publish=shared.router.answer_challenge,
        withdraw=shared.router.forget_challenge,
    )
    offered = SimpleNamespace(
        body=SimpleNamespace(
            wildcard=False, challenges=[], identifier=SimpleNamespace(value="hello.test")
        )
    )
    with (
        ExitStack() as answers,
        pytest.raises(CertificateRefused, match=r"no supported challenge for hello\.test"),
    ):
        authority._answer(None, offered, answers)
