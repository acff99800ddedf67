"""The HTTP API, as a client sees it."""

import json
import time
from typing import Any

import httpx
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from portal.accounts.access import tokens_of
from portal.api.router import api
from portal.apps import logs as app_logs
from portal.apps.config import config_for_build
from portal.apps.models import App, Instance
from portal.apps.secrets import decrypt_config
from portal.builds.models import Build, BuildState, SourceKind
from portal.deploys import actions as builds
from portal.lifecycle.account_actions import revoke_token
from portal.lifecycle.app_actions import create_app
from portal.lifecycle.key_rotation import reencrypt_all
from portal.quotas.models import Quota
from tests.portal.conftest import People
from tests.portal.pages import fleet
from tests.portal.shipyard import deploy, roll_out, say, submit_archive


class Caller:
    """A program with a token."""

    def __init__(self, token: str) -> None:
        self._client = Client(
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"}
        )

    def __call__(
        self, method: str, path: str, body: object = None, **kwargs: Any
    ) -> tuple[int, Any]:
        if body is not None:
            kwargs |= {"data": json.dumps(body), "content_type": "application/json"}
        answer = getattr(self._client, method)(f"/api/v1{path}", **kwargs)
        return answer.status_code, json.loads(answer.content) if answer.content else None


@pytest.fixture
def owner(people: People) -> Caller:
    return Caller(people.token(people.owner))


def test_without_a_token_nothing_is_returned(people: People) -> None:
    for headers in ({}, {"Authorization": "Bearer slip_wrong"}, {"Authorization": "Basic YTpi"}):
        answer = Client(headers=headers).get("/api/v1/apps")
        assert answer.status_code == 401
        assert answer.json()["error"] == "The API needs a token."
        assert answer["WWW-Authenticate"].startswith("Bearer")


def test_a_session_does_not_replace_a_token(people: People) -> None:
    client = Client()
    client.force_login(people.owner)
    assert client.get("/api/v1/apps").status_code == 401


def test_the_openapi_document_is_public(db: None) -> None:
    contract = Client().get("/api/openapi.json").json()
    assert "/api/v1/apps/{name}/builds" in contract["paths"]


def test_the_life_of_an_app_from_creation_to_deletion(people: People, owner: Caller) -> None:
    assert owner("get", "/apps") == (200, [])
    status, app = owner("post", "/apps", {"name": "hello"})
    assert (status, app["team"], app["state"], app["url"]) == (
        201,
        "blue",
        "stopped",
        "http://hello.slipway.localhost:8080",
    )
    archive = SimpleUploadedFile("hello.zip", b"an archive")
    status, build = owner("post", "/apps/hello/builds", data={"archive": archive})
    assert (status, build["state"], build["origin"], build["description"]) == (
        202,
        "queued",
        "api",
        "hello.zip",
    )
    deploy(Build.objects.get())
    assert owner("get", f"/apps/hello/builds/{build['id']}")[1]["release"] == 1
    assert [release["current"] for release in owner("get", "/apps/hello/releases")[1]] == [True]
    assert owner("get", "/apps/hello/rollouts")[1][0]["state"] == "live"
    assert owner("post", "/apps/hello/restart")[0] == 202
    assert owner("delete", "/apps/hello?confirm=wrong")[0] == 400
    assert owner("delete", "/apps/hello?confirm=hello")[0] == 202
    assert owner("get", "/apps/hello")[0] == 404


def test_config_scale_and_rollback(people: People, owner: Caller) -> None:
    deploy(submit_archive(people.owner, people.app()))
    assert owner("patch", "/apps/hello/config", {"changes": {"A": "1"}}) == (
        200,
        {"config": {"A": "1"}, "secret": [], "release": 2, "not_while_building": []},
    )
    assert owner("patch", "/apps/hello/config", {"changes": {"A": None}})[1]["config"] == {}
    status, sizes = owner("patch", "/apps/hello/formation", {"web": {"count": 2}})
    assert (status, sizes[0]["count"], sizes[0]["cpu"]) == (200, 2, 500)
    assert owner("post", "/apps/hello/releases/2/rollback")[1]["release"] == 4
    assert owner("get", "/apps/hello/config")[1]["config"] == {}, "today's config vars stay"
    status, rollout = owner("post", "/apps/hello/releases/2/rollback?config=release")
    assert (status, rollout["release"]) == (202, 5)
    assert owner("get", "/apps/hello/config")[1]["config"] == {"A": "1"}
    Instance.objects.create(
        id="web.1",
        app=App.objects.get(),
        process="web",
        release_number=1,
        node="here",
        state="live",
    )
    assert owner("get", "/apps/hello/instances")[1][0]["id"] == "web.1"


def test_errors_are_json_with_a_sentence_and_a_hint(people: People, owner: Caller) -> None:
    assert owner("get", "/apps/nothing") == (
        404,
        {
            "error": "App nothing does not exist, or you do not have access to it.",
            "hint": "Check the list of your apps, or create the app.",
        },
    )
    status, answer = owner("post", "/apps", {"name": "A B"})
    assert (status, answer["error"]) == (400, "'A B' is not a valid hostname.")
    status, answer = owner("post", "/apps", {})
    assert status == 422
    assert "name" in answer["error"]
    Quota.objects.update(apps=0)
    status, answer = owner("post", "/apps", {"name": "hello"})
    assert status == 403
    assert "keeper" in answer["hint"]


def test_an_upload_over_the_quota_is_refused(people: People, owner: Caller) -> None:
    people.app()
    Quota.objects.update(memory=0)
    status, answer = owner(
        "post", "/apps/hello/builds", data={"archive": SimpleUploadedFile("hello.zip", b"x")}
    )
    assert (status, answer["error"]) == (
        403,
        (
            "The quota of team blue is 0 Bytes of memory in total. It uses 0 Bytes; the change"
            " would need 512 MiB."
        ),
    )


def test_an_image_is_deployed_by_name_and_its_password_is_stored_encrypted_until_the_build_ends(
    people: People, owner: Caller
) -> None:
    people.app()
    status, answer = owner(
        "post",
        "/apps/hello/builds/image",
        {"image": "ghcr.io/me/app:1.2", "username": "me", "password": "a token"},
    )
    assert (status, answer["state"], answer["description"]) == (
        202,
        "queued",
        "image ghcr.io/me/app:1.2",
    )
    build = Build.objects.get(pk=answer["id"])
    assert (build.source.kind, build.source.filename) == (SourceKind.REFERRED, "ghcr.io/me/app:1.2")
    assert build.encrypted_credentials is not None
    assert b"a token" not in bytes(build.encrypted_credentials)
    assert reencrypt_all() == 1, "a new key holds for it, too"
    build.refresh_from_db()
    assert decrypt_config(build.encrypted_credentials) == {"username": "me", "password": "a token"}
    owner("post", f"/apps/hello/builds/{build.pk}/cancel")
    build.refresh_from_db()
    assert build.encrypted_credentials is None
    for wrong in (
        {"image": "an image"},
        {"image": ""},
        {"image": "app", "username": "me"},
        {"image": "x" * 300},
    ):
        assert owner("post", "/apps/hello/builds/image", wrong)[0] == 400
    assert (
        Caller(people.token(people.stranger))("post", "/apps/hello/builds/image", {"image": "app"})[
            0
        ]
        == 404
    )
    assert Build.objects.count() == 1


def test_an_app_of_another_team_is_not_found(people: People) -> None:
    people.app()
    assert Caller(people.token(people.stranger))("get", "/apps/hello")[0] == 404


def test_a_build_log_is_plain_text_to_its_end(portal_url: str, committed_people: People) -> None:
    build = submit_archive(committed_people.owner, committed_people.app())
    say(build, "one")
    say(build, "two")
    Build.objects.filter(pk=build.pk).update(state=BuildState.FAILED)
    headers = {"Authorization": f"Bearer {committed_people.token(committed_people.owner)}"}
    for query in ("", "?follow=true", "?lines=2"):
        answer = httpx.get(
            f"{portal_url}/api/v1/apps/hello/builds/{build.pk}/log{query}", headers=headers
        )
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert [line.split(" ", 2)[2] for line in answer.text.splitlines()] == ["one", "two"], query
    assert httpx.get(f"{portal_url}/api/v1/apps/hello/log", headers=headers).text == ""
    assert httpx.get(f"{portal_url}/api/v1/apps/nothing/log", headers=headers).status_code == 404


def test_a_followed_log_arrives_while_the_build_runs(
    portal_url: str, committed_people: People
) -> None:
    build = submit_archive(committed_people.owner, committed_people.app())
    say(build, "one")
    headers = {"Authorization": f"Bearer {committed_people.token(committed_people.owner)}"}
    with httpx.stream(
        "GET", f"{portal_url}/api/v1/apps/hello/builds/{build.pk}/log?follow=true", headers=headers
    ) as answer:
        lines = answer.iter_lines()
        assert next(lines).endswith(" one")
        say(build, "two")
        assert next(lines).endswith(" two")
        Build.objects.filter(pk=build.pk).update(state=BuildState.FAILED)
        assert list(lines) == []


@pytest.mark.parametrize("how", ["app deleted", "token revoked"])
def test_a_followed_log_ends_when_access_is_lost(
    portal_url: str, committed_people: People, how: str
) -> None:
    app = committed_people.app()
    headers = {"Authorization": f"Bearer {committed_people.token(committed_people.owner)}"}
    log = app_logs.path_of(app)
    log.write_text("2026-11-24T00:50:09.179Z web.1 stdout mine\n")
    with httpx.stream(
        "GET", f"{portal_url}/api/v1/apps/hello/log?follow=true", headers=headers, timeout=10
    ) as answer:
        lines = answer.iter_lines()
        assert next(lines).endswith("mine")
        if how == "app deleted":
            App.objects.filter(pk=app.pk).delete()
            create_app(committed_people.stranger, team=committed_people.red, name="hello")
        else:
            revoke_token(committed_people.owner, token=tokens_of(committed_people.owner)[0])
        time.sleep(2.1)
        with log.open("a") as file:
            file.writelines(
                f"2026-11-24T00:50:09.179Z web.2 stdout not mine {number}\n" for number in range(3)
            )
        assert list(lines) == []


def test_jobs_runs_and_the_manifest_are_returned_and_a_job_runs_on_demand(
    people: People, owner: Caller
) -> None:
    app = people.app()
    assert owner("get", "/apps/hello/file")[1]["file"] is None
    build = submit_archive(people.owner, app)
    builds.mark_building(build)
    rollout = builds.succeed(build, "sha256:" + "0" * 64, {"web": "run"}, fleet.APP_FILE)
    assert rollout is not None
    roll_out(rollout)
    status, file = owner("get", "/apps/hello/file")
    assert (status, file["file"], file["cron"], file["postdeploy"]) == (
        200,
        "slipway.toml",
        ["digest", "sweep"],
        "python manage.py loaddata demo",
    )
    assert file["env"]["SESSION_KEY"] == {
        "default": False,
        "generated": True,
        "required": False,
        "missing": False,
        "description": "Signs sessions",
    }
    assert file["health"]["check"] == "GET /healthz"
    assert owner("get", "/apps/hello/health")[1]["source"] == "file"
    _, crons = owner("get", "/apps/hello/crons")
    assert [(job["name"], job["schedule"], job["overlap"]) for job in crons] == [
        ("digest", "0 7 * * MON-FRI", "skip"),
        ("sweep", "*/15 * * * *", "skip"),
    ]
    status, run = owner("post", "/apps/hello/crons/sweep/run")
    assert (status, run["state"], run["by"], run["scheduled_for"]) == (202, "queued", "owner", None)
    assert owner("post", "/apps/hello/crons/sweep/run")[0] == 409
    _, runs = owner("get", "/apps/hello/runs")
    assert [(run["kind"], run["name"], run["seconds"]) for run in runs] == [
        ("cron", "sweep", None),
        ("postdeploy", "postdeploy", None),
    ]
    stranger = Caller(people.token(people.stranger))
    assert {stranger("get", f"/apps/hello/{part}")[0] for part in ("file", "crons", "runs")} == {
        404
    }


def test_a_config_var_can_be_hidden_from_builds(people: People, owner: Caller) -> None:
    app = people.app()
    owner("patch", "/apps/hello/config", {"changes": {"KEY": "1", "URL": "2"}})
    status, shown = owner("patch", "/apps/hello/config", {"while_building": {"KEY": False}})
    assert (status, shown["not_while_building"]) == (200, ["KEY"])
    assert config_for_build(app) == {"URL": "2"}
    owner("patch", "/apps/hello/config", {"changes": {"KEY": "3"}})  # a new value stays hidden
    assert config_for_build(app) == {"URL": "2"}
    owner("patch", "/apps/hello/config", {"while_building": {"KEY": True}})
    assert config_for_build(app) == {"KEY": "3", "URL": "2"}
    status, refused = owner("patch", "/apps/hello/config", {"while_building": {"NOPE": True}})
    assert status == 404
    assert "no config var NOPE" in refused["error"]


def test_a_misspelt_name_in_a_body_is_refused(people: People, owner: Caller) -> None:
    people.app()
    status, said = owner("patch", "/apps/hello/traffic", {"sleep_minuts": 5})
    assert (status, "sleep_minuts" in said["error"]) == (422, True)


def test_every_body_refuses_names_that_it_does_not_have() -> None:
    document = json.loads(json.dumps(api.get_openapi_schema(), default=str))
    schemas = document["components"]["schemas"]
    bodies = {
        name: schema.get("additionalProperties")
        for name, schema in schemas.items()
        if name.endswith("In")
    }
    assert len(bodies) > 10
    assert [name for name, extra in bodies.items() if extra is not False] == []
