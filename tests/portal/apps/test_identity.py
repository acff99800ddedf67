"""Rename, describe and transfer apps."""

import json

import pytest
from django.test import Client

from portal.activity.access import audit_of_app
from portal.apps.access import app_for, host_of, url_of
from portal.apps.logs import path_of
from portal.apps.models import HANDLE, App, FormerName
from portal.apps.volumes import Volume
from portal.domains.access import hosts_of
from portal.errors import (
    AppRenamed,
    Conflict,
    NameRefused,
    NotAllowed,
    NotFound,
    QuotaExceeded,
    ValueRefused,
)
from portal.lifecycle.account_actions import add_member
from portal.lifecycle.app_actions import create_app, set_config_vars
from portal.lifecycle.app_identity import describe_app, rename_app, transfer_app
from portal.quotas.models import Quota
from tests.portal.conftest import People
from tests.portal.shipyard import deploy, submit_archive


def test_a_renamed_app_has_another_host_and_the_same_log(people: People) -> None:
    app = people.app("hello")
    before = path_of(app)
    app = rename_app(people.owner, app=app, name="greeter")
    assert (app.name, app.handle) == ("greeter", "hello")
    assert hosts_of(app)[0] == host_of(app)
    assert host_of(app).startswith("greeter.")
    assert "greeter" in url_of(app)
    assert path_of(app) == before
    assert App.objects.alias(at_node=HANDLE).get(at_node="hello") == app


def test_no_other_app_gets_a_former_name_and_the_app_may_take_it_back(people: People) -> None:
    app = rename_app(people.owner, app=people.app("hello"), name="greeter")
    with pytest.raises(NameRefused, match="already in use"):
        create_app(people.owner, team=people.blue, name="hello")
    other = people.app("other")
    with pytest.raises(NameRefused, match="already in use"):
        rename_app(people.owner, app=other, name="hello")
    app = rename_app(people.owner, app=app, name="third")
    with pytest.raises(NameRefused, match="already in use"):
        create_app(people.owner, team=people.blue, name="greeter")
    app = rename_app(people.owner, app=app, name="hello")
    assert (app.name, app.handle) == ("hello", "hello")
    assert set(FormerName.objects.values_list("name", flat=True)) == {"greeter", "third"}
    app.delete()
    create_app(people.owner, team=people.blue, name="greeter")


@pytest.mark.parametrize("name", ["", "www", "UPPER", "a" * 41, "<b>", "../x", "x.y", "\u202ex"])
def test_a_new_name_must_be_a_hostname(people: People, name: str) -> None:
    with pytest.raises(NameRefused):
        rename_app(people.owner, app=people.app("hello"), name=name)


def test_the_old_name_is_explained_to_the_team_and_to_nobody_else(people: People) -> None:
    rename_app(people.owner, app=people.app("hello"), name="greeter")
    with pytest.raises(AppRenamed, match="is named greeter now"):
        app_for(people.owner, "hello")
    with pytest.raises(NotFound) as refusal:
        app_for(people.stranger, "hello")
    assert "greeter" not in refusal.value.explain()


def test_the_history_of_an_app_continues_under_its_new_name(people: People) -> None:
    app = people.app("hello")
    set_config_vars(people.owner, app=app, changes={"COLOR": "blue"})
    app = rename_app(people.owner, app=app, name="greeter")
    texts = [entry.text for entry in audit_of_app(app)]
    assert "set COLOR" in texts
    assert "renamed the app hello to greeter" in texts


def test_a_description_is_one_line_of_printable_text(people: People) -> None:
    app = describe_app(people.owner, app=people.app(), text="  Says <b>hello</b>\n to all ")
    assert app.description == "Says <b>hello</b> to all"
    for text in ("x" * 301, "a\u202eb", "a\x1b[31mb"):
        with pytest.raises(ValueRefused):
            describe_app(people.owner, app=app, text=text)
    with pytest.raises(NotAllowed):
        describe_app(people.stranger, app=app, text="mine")


def test_a_transfer_needs_an_owner_here_and_a_member_there(people: People) -> None:
    app = people.app("hello")
    with pytest.raises(NotAllowed, match="not in team red"):
        transfer_app(people.owner, app=app, team=people.red, typed_name="hello")
    with pytest.raises(NotAllowed, match="Only an owner of team blue"):
        transfer_app(people.stranger, app=app, team=people.red, typed_name="hello")
    add_member(people.stranger, team=people.red, username="owner")
    with pytest.raises(ValueRefused, match="does not match"):
        transfer_app(people.owner, app=app, team=people.red, typed_name="other")
    moved = transfer_app(people.owner, app=app, team=people.red, typed_name="hello")
    assert moved.team == people.red
    assert moved.generation == app.generation + 1, "its instances are replaced"
    assert [entry.text for entry in audit_of_app(moved)] == [
        "transferred the app hello from team blue"
    ]
    assert app_for(people.stranger, "hello") == moved
    with pytest.raises(NotAllowed):
        transfer_app(people.owner, app=moved, team=people.blue, typed_name="hello")


def test_a_transfer_needs_room_in_the_quota_of_the_other_team(people: People) -> None:
    add_member(people.stranger, team=people.red, username="owner")
    app = people.app("hello")
    deploy(submit_archive(people.owner, app))
    quota = Quota.objects.filter(team=people.red)
    quota.update(apps=0)
    with pytest.raises(QuotaExceeded, match="apps"):
        transfer_app(people.owner, app=app, team=people.red, typed_name="hello")
    quota.update(apps=5, cpu=100)
    with pytest.raises(QuotaExceeded, match="CPU"):
        transfer_app(people.owner, app=app, team=people.red, typed_name="hello")
    app.refresh_from_db()
    assert app.team == people.blue


def test_an_app_that_is_being_deployed_is_not_transferred(people: People) -> None:
    add_member(people.stranger, team=people.red, username="owner")
    app = people.app("hello")
    submit_archive(people.owner, app)
    with pytest.raises(Conflict, match="is being deployed"):
        transfer_app(people.owner, app=app, team=people.red, typed_name="hello")


def test_an_app_with_a_volume_is_not_transferred(people: People) -> None:
    add_member(people.stranger, team=people.red, username="owner")
    app = people.app("hello")
    Volume.objects.create(team=people.blue, app=app, name="data", size=1, path="/data")
    with pytest.raises(Conflict, match="has the volume data"):
        transfer_app(people.owner, app=app, team=people.red, typed_name="hello")


def test_the_api_describes_renames_and_transfers(people: People) -> None:
    add_member(people.stranger, team=people.red, username="owner")
    people.app("hello")
    client = Client(headers={"Authorization": f"Bearer {people.token(people.owner)}"})

    def send(method: str, path: str, **body: str) -> dict[str, object]:
        answer = client.generic(
            method, f"/api/v1/apps/{path}", json.dumps(body), content_type="application/json"
        )
        return {"status": answer.status_code, **answer.json()}

    assert send("PUT", "hello/description", description="Greets")["description"] == "Greets"
    assert send("POST", "hello/rename", name="greeter")["name"] == "greeter"
    lost = client.get("/api/v1/apps/hello")
    assert (lost.status_code, lost.json()["hint"]) == (404, "Use the name greeter.")
    refused = send("POST", "greeter/transfer", team="red", confirm="hello")
    assert refused["status"] == 400
    assert send("POST", "greeter/transfer", team="red", confirm="greeter")["team"] == "red"
