"""Attacks on users of the portal's pages. Each is sent as an attacker would send it, and each
fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

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
from tests.portal.conftest import People
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
    models = (
        Person,
        Team,
        Token,
        App,
        ConfigVar,
        Build,
        Release,
        Rollout,
        Domain,
        ImageJob,
        Run,
        AuditEntry,
    )
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_another_site_cannot_submit_a_form_as_the_signed_in_person(world: World) -> None:
    client, before = of_owner(world, enforce_csrf_checks=True), state()
    forms = [route for route in PAGES if route.method == "POST"]
    assert len(forms) > 35
    for route in forms:
        answer = client.post(
            world.path_of(route), route.body, headers={"Origin": "https://evil.example"}
        )
        assert answer.status_code == 403, route.pattern
        assert client.post(world.path_of(route), route.body).status_code == 403, (
            f"{route.pattern} without a token"
        )
    assert state() == before


def test_a_session_gives_no_access_to_the_api_git_the_registry_or_metrics(world: World) -> None:
    client, before = of_owner(world), state()
    guarded = [
        route
        for route in (*API, *GIT, *REGISTRY)
        if route.pattern not in ("api/openapi.json", "api/")
    ]
    assert len(guarded) > 70
    for route in guarded:
        answer = client.generic(
            route.method, world.path_of(route), "{}", content_type="application/json"
        )
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
        self.dangers += [
            f"{tag} {name}" for name in given if name.startswith("on") or name == "style"
        ]
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
        job.result = {
            **job.result,
            "changes": changes,
            "added": 1,
            "changed": 0,
            "deleted": 0,
            "filename": EVIL,
        }
        job.reason = EVIL
        job.save()
    for log in ("shop", "docs-site", "chat", "reports"):
        write_log(
            settings.APP_LOGS / f"{log}.log",
            [("web.1", "stdout", EVIL), (EVIL.replace(" ", ""), "stderr", EVIL)],
        )
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
            if answer.status_code != 200 or not answer.headers.get("Content-Type", "").startswith(
                "text/html"
            ):
                continue
            found = Found(answer.content.decode())
            assert not found.dangers, f"{route.pattern} as {role}: {found.dangers}"
            seen += "x-evil" in found.text
            assert "14" not in re.findall(r"alert\(1\)(\d+)", found.text), "a template ran it"
    assert seen >= 15, "the text reached the pages"


@pytest.mark.parametrize(
    "field", ["name", "value", "username", "label", "host", "tag", "auth_name"]
)
def test_refused_input_is_shown_as_text(world: World, field: str) -> None:
    client = of_owner(world)
    for route in PAGES:
        if route.method == "POST" and field in route.body:
            html = client.post(
                world.path_of(route), {**route.body, field: EVIL}, follow=True
            ).content.decode()
            assert not Found(html).dangers, route.pattern


@pytest.mark.parametrize(
    "query",
    [
        "new/hint?name={}",
        "requests?id={}",
        "requests/{}",
        "codes/{}",
        "apps/shop/logs?source={}",
        "apps/{}",
        "nowhere/{}",
    ],
)
def test_parts_of_the_url_are_shown_as_text(world: World, query: str) -> None:
    answer = of_owner(world).get(
        "/" + query.format("%22%3E%3Cx-evil%20onload=alert(1)%3E%3Cscript%3Ealert(1)")
    )
    assert not Found(answer.content.decode()).dangers


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
def test_a_custom_domain_cannot_be_a_name_of_the_portal_or_of_another_app_or_an_address(
    people: People, host: str
) -> None:
    app = people.app()
    with pytest.raises(Refused):
        add(people.owner, app=app, host=host)
    assert not Domain.objects.exists()


def test_no_page_can_be_framed_or_load_scripts_of_other_sites(world: World) -> None:
    pages = [route for route in PAGES if route.method == "GET"]
    for route in (*pages, Route(method="GET", pattern="", rule=pages[0].rule, path="/nowhere")):
        for client in (of_owner(world), Client()):
            answer = client.get(world.path_of(route))
            policy = dict(
                part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";")
            )
            assert policy["default-src"] == "'self'", route.pattern
            assert (
                policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"
            )
            assert policy["form-action"] == "'self'"
            assert (answer["X-Frame-Options"], answer["X-Content-Type-Options"]) == (
                "DENY",
                "nosniff",
            )
            assert (
                answer["Cross-Origin-Opener-Policy"] == answer["Referrer-Policy"] == "same-origin"
            )
