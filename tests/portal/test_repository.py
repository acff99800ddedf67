"""Deploys from the address of a Git repository, by page and API."""

from __future__ import annotations

import pytest
from django.test import Client

from portal.apps.secrets import decrypt_config
from portal.builds.models import Build, BuildState, Repository, SourceKind
from portal.lifecycle.key_rotation import reencrypt_all
from tests.portal.conftest import People
from tests.portal.test_api import Caller

ADDRESS = "https://git.example.com/me/app.git"
DEPLOY = "/apps/hello/builds/git"


@pytest.fixture
def owner(people: People) -> Caller:
    people.app()
    return Caller(people.token(people.owner))


def test_the_app_remembers_its_repository_and_fetches_it_again(
    people: People, owner: Caller
) -> None:
    assert owner("get", "/apps/hello/repository")[1]["address"] is None
    status, answer = owner("post", DEPLOY, data="", content_type="application/json")
    assert (status, answer["error"]) == (400, "App hello has no Git repository.")
    wanted = {"address": ADDRESS, "branch": "release", "token": "a secret token"}
    status, answer = owner("post", DEPLOY, wanted)
    assert (status, answer["state"], answer["description"]) == (202, "queued", f"{ADDRESS}#release")
    build = Build.objects.get(pk=answer["id"])
    assert (build.source.kind, build.source.filename) == (SourceKind.GIT, f"{ADDRESS}#release")
    assert owner("get", "/apps/hello/repository") == (
        200,
        {"address": ADDRESS, "branch": "release", "has_token": True},
    )
    second = Build.objects.get(
        pk=owner("post", DEPLOY, data="", content_type="application/json")[1]["id"]
    )
    assert second.source == build.source
    assert decrypt_config(second.encrypted_credentials or b"") == {"token": "a secret token"}
    assert reencrypt_all() == 2, "the app's token, and that of the open build"
    build.refresh_from_db()
    assert (build.state, build.encrypted_credentials) == (BuildState.CANCELLED, None)


def test_a_token_is_encrypted_and_is_never_sent_to_another_address(
    people: People, owner: Caller
) -> None:
    owner("post", DEPLOY, {"address": ADDRESS, "token": "a secret token"})
    row = Repository.objects.get()
    assert b"a secret token" not in bytes(row.encrypted_token or b"")
    owner("post", DEPLOY, {"address": ADDRESS, "branch": "dev"})
    assert Repository.objects.get().has_token, "kept for the same address"
    owner("post", DEPLOY, {"address": "https://other.example.com/me/app.git"})
    assert not Repository.objects.get().has_token
    owner("post", DEPLOY, {"address": ADDRESS, "token": "another"})
    owner("post", DEPLOY, {"address": ADDRESS, "token": ""})
    assert not Repository.objects.get().has_token
    assert owner("delete", "/apps/hello/repository")[0] == 204
    assert not Repository.objects.exists()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"address": "git@example.com:me/app.git"}, "only HTTPS is supported"),
        ({"address": "https://me:word@example.com/a.git"}, "give a token instead"),
        ({"address": f"{ADDRESS}#main"}, "write the branch in its own field"),
        ({"address": ADDRESS, "branch": "a..b"}, "is not a valid branch"),
        ({"address": ADDRESS, "branch": "--upload-pack=x"}, "is not a valid branch"),
        ({"address": ADDRESS, "token": "a\nb"}, "The token is too long or has characters"),
        ({"address": f"https://example.com/{'x' * 300}.git"}, "more than 255 characters"),
    ],
)
def test_a_wrong_address_is_refused_and_nothing_is_stored(
    people: People, owner: Caller, wanted: dict[str, str], words: str
) -> None:
    status, answer = owner("post", DEPLOY, wanted)
    assert status == 400
    assert words in answer["error"]
    assert "word@" not in answer["error"]
    assert not Repository.objects.exists()
    assert not Build.objects.exists()


def test_the_page_deploys_from_an_address_and_then_with_one_button(people: People) -> None:
    people.app()
    client = Client()
    client.force_login(people.owner)
    assert "Fetch and deploy" in client.get("/apps/hello").content.decode()
    sent = client.post("/apps/hello/deploy/git", {"address": ADDRESS, "token": "a secret token"})
    assert sent.headers["Location"] == f"/apps/hello/builds/{Build.objects.get().pk}"
    page = client.get("/apps/hello").content.decode()
    assert "Deploy now" in page
    assert ADDRESS in page
    assert "a secret token" not in page
    client.post("/apps/hello/deploy/git", {"address": ADDRESS, "branch": ""})
    assert Build.objects.count() == 2
    assert Repository.objects.get().has_token
    wrong = client.post("/apps/hello/deploy/git", {"address": "https://example.com"})
    assert wrong.status_code == 400
    assert "This Git address cannot be used" in wrong.content.decode()
    client.post("/apps/hello/repository/remove")
    assert "Fetch and deploy" in client.get("/apps/hello").content.decode()
