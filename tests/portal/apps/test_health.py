"""An app's health check: allowed values, access, precedence, and the check that the node gets."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client

from portal.activity.access import audit_of_app
from portal.apps.declared import Declared, Health
from portal.apps.health import check_of, effective_check_of, health_of
from portal.apps.health_validation import NUMBERS, checked
from portal.apps.models import App, HealthSettings
from portal.deploys import actions as builds
from portal.errors import NotAllowed, ValueRefused
from portal.lifecycle import app_actions
from runtime.builds.manifest import toml
from runtime.contract.health import CheckKind, HealthCheck
from runtime.errors import BadSource
from tests.portal.conftest import People
from tests.portal.pages import fleet
from tests.portal.shipyard import roll_out, submit_archive
from tests.portal.test_api import Caller
from workers.bridge import translate

FORM = {
    "kind": "http",
    "path": "/",
    "command": "",
    "timeout": "5",
    "interval": "10",
    "attempts": "3",
    "start_period": "30",
}
OF_DOCKERFILE: dict[str, Any] = {
    **fleet.APP_FILE["health"],
    "kind": "command",
    "command": ["./well"],
    "words": "`./well`",
}


def live_app(people: People, **said: Any) -> App:
    """Create a live app with checks from its manifest and its Dockerfile, if any."""
    app = people.app()
    build = submit_archive(people.owner, app)
    builds.mark_building(build)
    file = {**fleet.APP_FILE, "crons": [], "health": None, "image_health": None, **said}
    rollout = builds.succeed(build, "sha256:" + "0" * 64, {"web": "run"}, file)
    assert rollout is not None
    roll_out(rollout)
    app.refresh_from_db()
    return app


def check_for_node(app: App) -> HealthCheck:
    """Return the check that the node gets."""
    current = translate.desired_app(app).current
    assert current is not None
    return current.health


@pytest.fixture
def owner(people: People) -> Caller:
    return Caller(people.token(people.owner))


@pytest.fixture
def browser(people: People) -> Client:
    client = Client()
    client.force_login(people.owner)
    return client


def test_the_default_of_the_portal_is_the_default_of_the_node(people: People) -> None:
    assert check_for_node(live_app(people)) == HealthCheck(only_until_ready=True)


def test_a_command_from_the_page_is_the_command_that_the_node_runs(
    people: People, browser: Client
) -> None:
    app = live_app(people)
    typed = {
        "kind": "command",
        "command": "python manage.py check --deploy",
        "timeout": "2.5",
        "interval": "60",
        "attempts": "5",
    }
    answer = browser.post(
        "/apps/hello/settings/health", {**FORM, **typed, "start_period": "120"}, follow=True
    )
    assert (
        "Instances that start from now on use: `python manage.py check --deploy`."
        in answer.content.decode()
    )
    assert check_for_node(app) == HealthCheck(
        kind=CheckKind.COMMAND,
        command=("/bin/sh", "-c", "python manage.py check --deploy"),
        timeout=2.5,
        start_period=120.0,
        interval=60.0,
        attempts=5,
    )
    current = translate.desired_app(app).current
    assert current is not None
    assert current.boot_seconds == 420.0
    assert (
        audit_of_app(app)[0].text
        == "set the health check to `python manage.py check --deploy`, timeout 2.5 s, every 60 s, 5"
        " attempts, start period 120 s"
    )


def test_an_empty_field_is_the_default_and_fields_of_other_kinds_are_kept(
    people: People, browser: Client
) -> None:
    app = live_app(people)
    browser.post(
        "/apps/hello/settings/health", {**FORM, "path": "/up", "command": "./well", "attempts": "7"}
    )
    browser.post("/apps/hello/settings/health", {"kind": "tcp", "path": "/up", "command": "./well"})
    assert check_for_node(app) == HealthCheck(kind=CheckKind.TCP)
    row = health_of(app)
    assert row is not None
    assert (row.path, row.command, row.attempts) == ("/up", "./well", 3)


def test_the_words_of_a_check_match_the_node() -> None:
    for changes in (
        {},
        {"path": "/up"},
        {"kind": "tcp"},
        {"kind": "command", "command": "test -e /tmp/ready && echo 'well'"},
    ):
        check = check_of(HealthSettings(**changes))
        values = {name: value for name, value in asdict(check).items() if name != "words"}
        assert check.words == HealthCheck(**{**values, "kind": CheckKind(check.kind)}).describe()


def test_the_patience_matches_the_node() -> None:
    for seconds in (30.0, 0.0):
        row = HealthSettings(start_period=seconds, interval=1.0, attempts=2)
        assert (
            check_of(row).patience
            == HealthCheck(start_period=seconds, interval=1.0, attempts=2).boot_seconds
        )


@pytest.mark.parametrize("field", list(NUMBERS))
def test_the_page_accepts_the_same_numbers_as_the_manifest(field: str) -> None:
    _, least, most = NUMBERS[field]
    for value in (least, most):
        assert (
            getattr(toml.read(f"[health]\n{field} = {value}").health, field)
            == checked({field: value})[field]
        )
    for value in (least - (1 if field == "attempts" else 0.01), most + 1):
        with pytest.raises(ValueRefused):
            checked({field: value})
        with pytest.raises(BadSource):
            toml.read(f"[health]\n{field} = {value}")


@pytest.mark.parametrize(
    ("file", "page", "image", "source"),
    [(1, 1, 1, "file"), (0, 1, 1, "settings"), (0, 0, 1, "dockerfile"), (0, 0, 0, "default")],
)
def test_precedence_is_manifest_settings_dockerfile(
    people: People, file: int, page: int, image: int, source: str
) -> None:
    app = people.app()
    if page:
        app_actions.set_health(people.owner, app=app, changes={"kind": "tcp"})
    of_file, of_image = Health.of(fleet.APP_FILE["health"]), Health.of(OF_DOCKERFILE)
    declared = Declared(health=of_file if file else None, image_health=of_image if image else None)
    assert effective_check_of(app, declared).source == source


def test_a_check_in_the_settings_replaces_the_dockerfiles_check_until_it_is_removed(
    people: People, browser: Client
) -> None:
    app = live_app(people, image_health=OF_DOCKERFILE)
    page = browser.get("/apps/hello/settings/health").content.decode()
    assert "Active check: HEALTHCHECK of the Dockerfile:" in page
    assert 'name="remove"' not in page
    page = browser.post("/apps/hello/settings/health", FORM, follow=True).content.decode()
    assert "Active check: from these settings" in page
    assert check_for_node(app) == HealthCheck()
    page = browser.post(
        "/apps/hello/settings/health", {**FORM, "remove": "health"}, follow=True
    ).content.decode()
    assert "The health check of these settings was removed." in page
    assert check_for_node(app).command == ("./well",)
    assert audit_of_app(app)[0].text == "removed the health check of the settings"


def test_the_page_shows_that_the_manifest_has_precedence(people: People, browser: Client) -> None:
    live_app(people, health=fleet.APP_FILE["health"])
    page = browser.post(
        "/apps/hello/settings/health", {**FORM, "kind": "tcp"}, follow=True
    ).content.decode()
    assert "slipway.toml has precedence: GET /healthz." in page
    assert "Active check: from slipway.toml:" in page


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("kind", "grpc", "Use one of http, tcp, command."),
        ("path", "healthz", "it starts with a slash"),
        ("path", "/a b", "it starts with a slash"),
        ("path", "/" + "a" * 200, "at most 200 characters"),
        ("command", "one\ntwo", "one shell line"),
        ("command", "a\0", "one shell line"),
        ("command", "x" * 16_385, "longer than 16,384 characters"),
        ("timeout", 0, "a number of seconds from 0.1 to 30"),
        ("timeout", 31, "The time for one check cannot be 31."),
        ("timeout", math.nan, "cannot be nan"),
        ("start_period", -1, "from 0 to 3,600"),
        ("interval", 0.5, "from 1 to 3,600"),
        ("interval", "often", "The interval cannot be often."),
        ("attempts", 0, "a whole number from 1 to 100"),
        ("attempts", 2.5, "The number of attempts cannot be 2.5."),
        ("attempts", True, "cannot be True"),
        ("retries", 1, "The fields are kind, path, command, timeout"),
    ],
)
def test_an_invalid_value_is_refused_at_its_field(field: str, value: object, says: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        checked({field: value})
    assert refused.value.field == field
    assert says in refused.value.explain()


@pytest.mark.parametrize(
    ("typed", "field", "says"),
    [
        ({"path": "healthz now"}, "path", "it starts with a slash"),
        ({"kind": "command", "command": " "}, "command", "A check by command needs a command."),
        (
            {"timeout": "soon"},
            "timeout",
            "This is not a valid number of seconds. From 0.1 to 30. Empty: 5.",
        ),
        ({"interval": "0"}, "interval", "Use a number of seconds from 1 to 3,600."),
        ({"start_period": "4000"}, "start_period", "The start period cannot be 4000"),
        ({"attempts": "2.5"}, "attempts", "This is not a whole number. From 1 to 100. Empty: 3."),
    ],
)
def test_the_page_keeps_the_input_and_marks_the_field(
    people: People, browser: Client, typed: dict[str, str], field: str, says: str
) -> None:
    app = people.app()
    answer = browser.post("/apps/hello/settings/health", {**FORM, **typed})
    page = answer.content.decode()
    assert answer.status_code == 422
    problem = page[page.index(f'id="id_{field}-problem"') :]
    assert says in problem[: problem.index("</p>")]
    assert all(f'value="{value}"' in page for value in typed.values() if value.strip())
    assert health_of(app) is None


def test_the_api_shows_the_source_and_changes_only_what_is_sent(
    people: People, owner: Caller
) -> None:
    app = live_app(people, image_health=OF_DOCKERFILE)
    status, answer = owner("get", "/apps/hello/health")
    assert (status, answer["source"], answer["counts"]["check"], answer["settings"]) == (
        200,
        "dockerfile",
        "`./well`",
        None,
    )
    status, answer = owner("patch", "/apps/hello/health", {"kind": "tcp", "interval": 2})
    assert (status, answer["source"]) == (200, "settings")
    assert answer["counts"] == {
        "kind": "tcp",
        "check": "a connection to its port",
        "timeout": 5.0,
        "start_period": 30.0,
        "interval": 2.0,
        "attempts": 3,
    }
    status, answer = owner("patch", "/apps/hello/health", {"attempts": 9, "timeout": 0.5})
    assert answer["settings"] == {
        "kind": "tcp",
        "path": "/",
        "command": "",
        "timeout": 0.5,
        "start_period": 30.0,
        "interval": 2.0,
        "attempts": 9,
    }
    assert check_for_node(app) == HealthCheck(
        kind=CheckKind.TCP, timeout=0.5, interval=2.0, attempts=9
    )
    assert owner("patch", "/apps/hello/health", {"interval": None})[1]["counts"]["interval"] == 10.0
    assert owner("patch", "/apps/hello/health", {"kind": "command"}) == (
        400,
        {
            "error": "A check by command needs a command.",
            "hint": (
                "Write a shell line that exits with 0 when the instance is healthy, or choose"
                " another kind."
            ),
        },
    )
    assert owner("patch", "/apps/hello/health", {"attempts": "many"})[0] == 422
    assert owner("delete", "/apps/hello/health") == (204, None)
    assert owner("get", "/apps/hello/health")[1]["source"] == "dockerfile"


def test_an_empty_or_identical_change_has_no_effect(people: People, owner: Caller) -> None:
    app = people.app()
    assert owner("patch", "/apps/hello/health", {})[1]["settings"] is None
    for _ in range(2):
        owner("patch", "/apps/hello/health", {"path": "/up"})
    owner("delete", "/apps/hello/health")
    owner("delete", "/apps/hello/health")
    assert [entry.text for entry in audit_of_app(app)][:3] == [
        "removed the health check of the settings",
        "set the health check to GET /up, timeout 5 s, every 10 s, 3 attempts, start period 30 s",
        "created the app hello",
    ]


def test_the_openapi_document_has_the_schemas(db: None) -> None:
    contract = Client().get("/api/openapi.json").json()
    assert set(contract["paths"]["/api/v1/apps/{name}/health"]) == {"get", "patch", "delete"}
    assert set(contract["components"]["schemas"]["HealthIn"]["properties"]) == set(FORM)


def test_other_teams_can_neither_see_nor_change_it(people: People) -> None:
    app = people.app()
    caller = Caller(people.token(people.stranger))
    assert caller("get", "/apps/hello/health")[0] == 404
    assert caller("patch", "/apps/hello/health", {"kind": "tcp"})[0] == 404
    assert caller("delete", "/apps/hello/health")[0] == 404
    with pytest.raises(NotAllowed):
        app_actions.set_health(people.stranger, app=app, changes={"kind": "tcp"})
    with pytest.raises(NotAllowed):
        app_actions.unset_health(people.stranger, app=app)
    assert not HealthSettings.objects.exists()


def test_a_path_from_before_there_were_kinds_is_kept(transactional_db: None) -> None:
    before = [("apps", "0005_waking")]
    try:
        executor = MigrationExecutor(connection)
        executor.migrate(before)
        then = executor.loader.project_state(before).apps
        team = then.get_model("accounts", "Team").objects.create(name="blue")
        for name, path in (("plain", "/"), ("asked", "/healthz")):
            then.get_model("apps", "App").objects.create(team=team, name=name, health_path=path)
        call_command("migrate", "apps", verbosity=0)
        assert [
            (row.app.name, row.kind, row.path, row.attempts) for row in HealthSettings.objects.all()
        ] == [("asked", "http", "/healthz", 3)]
        call_command("migrate", "apps", "0005_waking", verbosity=0)
        assert dict(then.get_model("apps", "App").objects.values_list("name", "health_path")) == {
            "plain": "/",
            "asked": "/healthz",
        }
    finally:
        call_command("migrate", verbosity=0)
