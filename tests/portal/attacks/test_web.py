"""Attacks on users of the portal's pages. Each is sent as an attacker would send it, and each
fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest
import redis
from django.conf import settings
from django.test import Client

from portal.accounts.models import Person, Team, Token
from portal.activity.models import AuditEntry
from portal.apps.models import App, ConfigVar, Instance
from portal.builds.models import Build
from portal.domains.actions import add
from portal.domains.models import Domain
from portal.errors import Refused
from portal.images.models import ImageJob
from portal.jobs.models import CronJob, Run
from portal.releases.models import Release, Rollout
from tests.portal.access.rules import Role
from tests.portal.access.table import API, GIT, PAGES, REGISTRY, Route
from tests.portal.access.world import World, made
from tests.portal.conftest import PASSWORD, People, listening_portal
from tests.portal.pages.fleet import write_log

# without a slash, so that it fits into URLs
EVIL = "\"><x-evil onmouseover=alert(1)>'<script>alert(1){{ 7|add:7 }}"
OPEN = ("sign-in", "sign-out", "theme")  # forms that need no session


@pytest.fixture
def world(db: None, broker: redis.Redis) -> Iterator[World]:
    with made() as world:
        yield world


def of_owner(world: World, **options: bool) -> Client:
    client = Client(**options)
    client.force_login(world.people[Role.OWNER])
    return client


def state() -> list[object]:
    """Return everything that a form could change."""
    models = (Person, Team, Token, App, ConfigVar, Build, Release, Rollout, Domain, ImageJob, Run, AuditEntry)
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_another_site_cannot_submit_a_form_as_the_signed_in_person(world: World) -> None:
    client, before = of_owner(world, enforce_csrf_checks=True), state()
    forms = [route for route in PAGES if route.method == "POST"]
    assert len(forms) > 35
    for route in forms:
        answer = client.post(world.path_of(route), route.body, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403, route.pattern
        assert client.post(world.path_of(route), route.body).status_code == 403, f"{route.pattern} without a token"
    assert state() == before


def test_a_session_gives_no_access_to_the_api_git_the_registry_or_metrics(world: World) -> None:
    client, before = of_owner(world), state()
    guarded = [route for route in (*API, *GIT, *REGISTRY) if route.pattern not in ("api/openapi.json", "api/")]
    assert len(guarded) > 70
    for route in guarded:
        answer = client.generic(route.method, world.path_of(route), "{}", content_type="application/json")
        assert answer.status_code == 401, f"{route.method} {route.pattern}"
    assert state() == before


class Found(HTMLParser):
    """Finds everything in a page that runs a script or is based on a chosen name."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.dangers: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag in ("x-evil", "iframe", "object", "embed", "base", "style") or (
            tag == "script" and not (given.get("src") or "").startswith("/static/")
        ):
            self.dangers.append(f"<{tag}>")
        self.dangers += [f"{tag} {name}" for name in given if name.startswith("on") or name == "style"]
        self.dangers += [
            f"{tag} {name}={value}"
            for name, value in given.items()
            if name in ("href", "src", "action", "formaction")
            and (value or "").strip().lower().startswith(("javascript:", "data:text", "vbscript:"))
        ]

    def handle_data(self, data: str) -> None:
        self.text += data


def poison() -> None:
    """Use the text wherever people, apps, builds and manifests choose names."""
    Person.objects.filter(username="bosun").update(username=EVIL)
    Token.objects.update(label=EVIL[:60])
    AuditEntry.objects.update(text=EVIL)
    Build.objects.update(description=EVIL, reason=EVIL)
    Release.objects.update(description=f"Deploy {EVIL}", processes={"web": EVIL, "worker": EVIL})
    Rollout.objects.update(reason=EVIL, steps=[{"at": "2026-01-01T00:00:00+00:00", "text": EVIL}])
    Instance.objects.update(detail=EVIL, node=EVIL[:80])
    CronJob.objects.update(command=EVIL)
    Run.objects.update(command=EVIL, reason=EVIL)
    Domain.objects.filter(host="www.shop.example.com").update(host=EVIL)
    changes = [["A", EVIL, 1]]
    for job in ImageJob.objects.all():
        job.result = {**job.result, "changes": changes, "added": 1, "changed": 0, "deleted": 0, "filename": EVIL}
        job.reason = EVIL
        job.save()
    for log in ("shop", "docs-site", "chat", "reports"):
        write_log(settings.APP_LOGS / f"{log}.log", [("web.1", "stdout", EVIL), (EVIL.replace(" ", ""), "stderr", EVIL)])
    for build in Build.objects.all():
        write_log(settings.BUILD_LOGS / f"{build.pk}.log", [("build", "stdout", EVIL)])


def test_names_messages_files_and_log_lines_are_escaped_in_pages(world: World) -> None:
    poison()
    seen = 0
    clients = {Role.OWNER: of_owner(world), Role.ADMIN: Client()}
    clients[Role.ADMIN].force_login(world.people[Role.ADMIN])
    for route in (page for page in PAGES if page.method == "GET"):
        for role, client in clients.items():
            answer = client.get(world.path_of(route))
            if answer.status_code != 200 or not answer.headers.get("Content-Type", "").startswith("text/html"):
                continue
            found = Found(answer.content.decode())
            assert not found.dangers, f"{route.pattern} as {role}: {found.dangers}"
            seen += "x-evil" in found.text
            assert "14" not in re.findall(r"alert\(1\)(\d+)", found.text), "a template ran it"
    assert seen >= 15, "the text reached the pages"


@pytest.mark.parametrize("field", ["name", "value", "username", "label", "host", "tag", "auth_name"])
def test_refused_input_is_shown_as_text(world: World, field: str) -> None:
    client = of_owner(world)
    for route in PAGES:
        if route.method == "POST" and field in route.body:
            html = client.post(world.path_of(route), {**route.body, field: EVIL}, follow=True).content.decode()
            assert not Found(html).dangers, route.pattern


@pytest.mark.parametrize(
    "query", ["new/hint?name={}", "requests?id={}", "requests/{}", "codes/{}", "apps/shop/logs?source={}", "apps/{}", "nowhere/{}"]
)
def test_parts_of_the_url_are_shown_as_text(world: World, query: str) -> None:
    answer = of_owner(world).get("/" + query.format("%22%3E%3Cx-evil%20onload=alert(1)%3E%3Cscript%3Ealert(1)"))
    assert not Found(answer.content.decode()).dangers


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
        answer = client.post(f"/sign-in?{httpx.QueryParams({'next': target})}", {"username": "owner", "password": PASSWORD, "next": target})
        assert (answer.status_code, answer["Location"]) == (302, "/")
        assert client.get("/sign-in", {"next": target})["Location"] == "/", "who is signed in already"
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


def test_a_changed_password_ends_all_other_sessions_and_signing_out_ends_the_own_one(people: People) -> None:
    here, there = Client(), Client()
    for client in (here, there):
        client.post("/sign-in", {"username": "owner", "password": PASSWORD})
        assert client.get("/account").status_code == 200
    old_key = here.cookies[settings.SESSION_COOKIE_NAME].value
    new = "eleven red bottles"
    changed = here.post("/account/password", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})
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
    with listening_portal() as url, httpx.Client(base_url=url, headers={"X-Forwarded-Proto": "https"}, timeout=20) as browser:
        for line in browser.get("/sign-in").headers.get_list("Set-Cookie"):
            name, rest = line.split("=", 1)
            assert name.startswith("__Host-slipway-")
            assert {"secure", "httponly", "path=/"} <= {part.strip().lower() for part in rest.split(";")}
            assert "domain" not in rest.lower()
        for planted in ("slipway-session", "__Secure-slipway-session"):
            assert browser.get("/account", headers={"Cookie": f"{planted}={key}"}).status_code == 302
        assert browser.get("/account", headers={"Cookie": f"__Host-slipway-session={key}"}).status_code == 200
        assert browser.get("/sign-in").headers["Strict-Transport-Security"].startswith("max-age=31536000")


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "shop.slipway.localhost", "localhost:8080@evil.example", "", "localhost/x"]
)
def test_a_host_that_is_not_the_portals_is_refused(people: People, host: str) -> None:
    assert Client().get("/sign-in", headers={"Host": host}).status_code == 400


def test_forged_headers_change_neither_host_nor_scheme_nor_the_signed_in_person(people: People) -> None:
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


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "portal.localhost",
        "127.0.0.1",
        "10.210.0.1",
        "169.254.169.254",
        "[::1]",
        "0x7f000001",
        "2130706433",
        "other.slipway.localhost",
        "*.slipway.localhost",
        "slipway.localhost",
        "*.localhost",
        "example.com:8080",
        "user@example.com",
        "example.com/path",
        "example.com#x",
        "exa mple.com",
        "example.com\r\nX: y",
        "*",
        "*.com",
        "..",
        "",
    ],
)
def test_a_custom_domain_cannot_be_a_name_of_the_portal_or_of_another_app_or_an_address(people: People, host: str) -> None:
    app = people.app()
    with pytest.raises(Refused):
        add(people.owner, app=app, host=host)
    assert not Domain.objects.exists()


def test_no_page_can_be_framed_or_load_scripts_of_other_sites(world: World) -> None:
    pages = [route for route in PAGES if route.method == "GET"]
    for route in (*pages, Route(method="GET", pattern="", rule=pages[0].rule, path="/nowhere")):
        for client in (of_owner(world), Client()):
            answer = client.get(world.path_of(route))
            policy = dict(part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";"))
            assert policy["default-src"] == "'self'", route.pattern
            assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"
            assert policy["form-action"] == "'self'"
            assert (answer["X-Frame-Options"], answer["X-Content-Type-Options"]) == ("DENY", "nosniff")
            assert answer["Cross-Origin-Opener-Policy"] == answer["Referrer-Policy"] == "same-origin"
