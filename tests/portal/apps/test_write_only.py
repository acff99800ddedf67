"""Config vars whose values are write-only."""

import json

import pytest
from django.test import Client

from portal.apps.config import config_of, secret_names
from portal.errors import NotFound
from portal.lifecycle.app_actions import set_config_vars
from portal.releases.actions import rollback
from tests.portal.conftest import People
from tests.portal.shipyard import deploy, submit_archive

VALUE = "a-very-secret-value"


@pytest.fixture
def owner(people: People) -> Client:
    app = people.app("hello")
    set_config_vars(people.owner, app=app, changes={"TOKEN": VALUE, "COLOR": "blue"})
    set_config_vars(people.owner, app=app, changes={}, secret=["TOKEN"])
    client = Client()
    client.force_login(people.owner)
    return client


def test_no_page_and_no_export_has_the_value_of_a_secret(owner: Client) -> None:
    for path in (
        "settings/variables",
        "settings/variables?reveal=TOKEN",
        "settings/variables?q=TOK",
        "settings/config/TOKEN",
        "settings/config/TOKEN?reveal",
        "settings/config/export",
    ):
        answer = owner.get(f"/apps/hello/{path}")
        assert answer.status_code == 200
        assert VALUE not in answer.content.decode(), path
    assert "COLOR" in owner.get("/apps/hello/settings/config/export").content.decode()


def test_an_import_does_not_say_if_a_guess_is_right(owner: Client) -> None:
    pages = [
        owner.post("/apps/hello/settings/config/import", {"lines": f"TOKEN={guess}"}).text
        for guess in (VALUE, "other-secret-value!")
    ]
    assert all("Secret, its value is replaced" in page for page in pages)


def test_the_api_has_only_the_name_of_a_secret(owner: Client, people: People) -> None:
    client = Client(headers={"Authorization": f"Bearer {people.token(people.owner)}"})
    answer = client.get("/api/v1/apps/hello/config").json()
    assert answer["config"] == {"COLOR": "blue"}
    assert answer["secret"] == ["TOKEN"]
    changed = client.patch(
        "/api/v1/apps/hello/config",
        json.dumps({"changes": {"KEY": "another-secret"}, "secret": ["KEY"]}),
        content_type="application/json",
    ).json()
    assert changed["secret"] == ["KEY", "TOKEN"]
    assert "KEY" not in changed["config"]


def test_an_empty_field_keeps_a_secret_and_a_new_value_replaces_it(
    owner: Client, people: People
) -> None:
    app = people.blue.apps.get(name="hello")
    owner.post("/apps/hello/settings/config", {"name": "TOKEN", "value": ""})
    assert config_of(app)["TOKEN"] == VALUE
    owner.post("/apps/hello/settings/config", {"name": "TOKEN", "value": "new-secret-value"})
    assert config_of(app)["TOKEN"] == "new-secret-value"


def test_a_name_stays_secret_after_its_removal_and_after_a_rollback(
    owner: Client, people: People
) -> None:
    app = people.blue.apps.get(name="hello")
    deploy(submit_archive(people.owner, app))
    set_config_vars(people.owner, app=app, changes={"TOKEN": None})
    assert secret_names(app) == {"TOKEN"}
    rollback(people.owner, app=app, number=1, with_old_config=True)
    assert config_of(app)["TOKEN"] == VALUE
    assert VALUE not in owner.get("/apps/hello/settings/variables?reveal=TOKEN").text


def test_a_variable_without_a_value_cannot_be_made_secret(people: People) -> None:
    with pytest.raises(NotFound, match="no config var NONE"):
        set_config_vars(people.owner, app=people.app(), changes={}, secret=["NONE"])


def test_a_form_makes_a_new_variable_secret(owner: Client, people: People) -> None:
    owner.post(
        "/apps/hello/settings/config", {"name": "KEY", "value": "hidden-value", "secret": "on"}
    )
    assert secret_names(people.blue.apps.get(name="hello")) == {"KEY", "TOKEN"}
