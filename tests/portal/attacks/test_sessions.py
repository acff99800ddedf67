"""Attacks on sign-in, sessions and cookies of the portal's pages, and on its host name. Each
fails.
"""

from __future__ import annotations

import httpx
import pytest
from django.conf import settings
from django.test import Client

from tests.portal.conftest import PASSWORD, People, listening_portal

ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "https:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "//localhost@evil.example/",
    "http://localhost.evil.example/",
    "/\t/evil.example/",
    "\x00//evil.example/",
]


@pytest.mark.parametrize("target", ELSEWHERE)
def test_sign_in_does_not_redirect_to_another_site(people: People, target: str) -> None:
    for client in (Client(),):
        answer = client.post(
            f"/sign-in?{httpx.QueryParams({'next': target})}",
            {"username": "owner", "password": PASSWORD, "next": target},
        )
        assert (answer.status_code, answer["Location"]) == (302, "/")
        assert client.get("/sign-in", {"next": target})["Location"] == "/", (
            "who is signed in already"
        )
        assert client.post("/theme", {"theme": "dark", "next": target})["Location"] == "/"
        assert client.post("/sign-out", {"next": target})["Location"] == "/sign-in"


def test_a_session_id_chosen_by_another_is_replaced_at_sign_in(people: People) -> None:
    attacker = Client()
    attacker.get("/sign-in")
    session = attacker.session
    session["planted"] = "yes"
    session.save()
    planted = session.session_key
    victim = Client()
    victim.cookies[settings.SESSION_COOKIE_NAME] = planted
    victim.post("/sign-in", {"username": "owner", "password": PASSWORD})
    assert victim.cookies[settings.SESSION_COOKIE_NAME].value != planted
    attacker.cookies[settings.SESSION_COOKIE_NAME] = planted
    assert attacker.get("/account").status_code == 302
    made_up = Client()
    made_up.cookies[settings.SESSION_COOKIE_NAME] = "chosen-by-an-attacker-0000000000"
    made_up.post("/sign-in", {"username": "owner", "password": PASSWORD})
    assert made_up.cookies[settings.SESSION_COOKIE_NAME].value != "chosen-by-an-attacker-0000000000"


def test_a_changed_password_ends_all_other_sessions_and_signing_out_ends_the_own_one(
    people: People,
) -> None:
    here, there = Client(), Client()
    for client in (here, there):
        client.post("/sign-in", {"username": "owner", "password": PASSWORD})
        assert client.get("/account").status_code == 200
    old_key = here.cookies[settings.SESSION_COOKIE_NAME].value
    new = "eleven red bottles"
    changed = here.post(
        "/account/password", {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    )
    assert changed.status_code == 302
    assert here.get("/account").status_code == 200
    assert there.get("/account").status_code == 302
    stale = Client()
    stale.cookies[settings.SESSION_COOKIE_NAME] = old_key
    assert stale.get("/account").status_code == 302, "the key that was used before is worth nothing"
    key = here.cookies[settings.SESSION_COOKIE_NAME].value
    here.post("/sign-out")
    stale.cookies[settings.SESSION_COOKIE_NAME] = key
    assert stale.get("/account").status_code == 302


def test_cookies_are_limited_to_the_portals_host_and_hidden_from_scripts(people: People) -> None:
    client = Client()
    client.post("/sign-in", {"username": "owner", "password": PASSWORD})
    client.get("/account")
    for name in (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME):
        cookie = client.cookies[name]
        assert cookie["domain"] == "", "an app on a sub-domain does not get it"
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")


def test_with_https_an_app_cannot_set_a_cookie_for_the_portal(
    redis_server: str, committed_people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Browsers accept a `__Host-` cookie only from this exact host over TLS (RFC 6265bis,
    4.1.3.2)."""
    monkeypatch.setenv("SLIPWAY_SCHEME", "https")
    session = Client()
    session.force_login(committed_people.owner)
    key = session.cookies[settings.SESSION_COOKIE_NAME].value
    with (
        listening_portal() as url,
        httpx.Client(base_url=url, headers={"X-Forwarded-Proto": "https"}, timeout=20) as browser,
    ):
        for line in browser.get("/sign-in").headers.get_list("Set-Cookie"):
            name, rest = line.split("=", 1)
            assert name.startswith("__Host-slipway-")
            assert {"secure", "httponly", "path=/"} <= {
                part.strip().lower() for part in rest.split(";")
            }
            assert "domain" not in rest.lower()
        for planted in ("slipway-session", "__Secure-slipway-session"):
            assert (
                browser.get("/account", headers={"Cookie": f"{planted}={key}"}).status_code == 302
            )
        assert (
            browser.get("/account", headers={"Cookie": f"__Host-slipway-session={key}"}).status_code
            == 200
        )
        assert (
            browser.get("/sign-in")
            .headers["Strict-Transport-Security"]
            .startswith("max-age=31536000")
        )


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "shop.slipway.localhost",
        "localhost:8080@evil.example",
        "",
        "localhost/x",
    ],
)
def test_a_host_that_is_not_the_portals_is_refused(people: People, host: str) -> None:
    assert Client().get("/sign-in", headers={"Host": host}).status_code == 400


def test_forged_headers_change_neither_host_nor_scheme_nor_the_signed_in_person(
    people: People,
) -> None:
    forged = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "666",
        "X-Forwarded-User": "keeper",
        "X-Remote-User": "keeper",
        "Remote-User": "keeper",
        "X-Original-URL": "/admin",
        "X-Rewrite-URL": "/admin",
        "X-HTTP-Method-Override": "DELETE",
        "Forwarded": "for=127.0.0.1;host=evil.example;proto=https",
    }
    answer = Client(headers=forged).get("/account")
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in?next=/account")
    client = Client(headers=forged)
    client.force_login(people.owner)
    assert "evil.example" not in client.get("/account").content.decode()
    assert client.get("/admin").status_code == 403
