"""Tests of the lists of the API: their pages, their cache and the number of their queries."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from portal.accounts.access import person_of_token, tokens_of
from portal.apps.models import App
from portal.dataversion import DatabaseCache, Watcher
from portal.lifecycle.account_actions import create_token, revoke_token
from portal.lifecycle.app_actions import create_app
from portal.quotas.models import Quota
from tests.portal.conftest import People, bearer


def test_a_list_needs_the_same_few_queries_for_any_number_of_apps(people: People) -> None:
    client = Client(headers=bearer(people.token(people.owner)))
    Quota.objects.filter(team=people.blue).update(apps=100)
    client.get("/api/v1/apps")
    counts = []
    for number in range(1, 21):
        create_app(people.owner, team=people.blue, name=f"app-{number}")
        if number in (1, 20):
            with CaptureQueriesContext(connection) as queries:
                assert len(client.get("/api/v1/apps").json()) == number
            counts.append(len(queries))
    assert counts[0] == counts[1] <= 8


def test_a_list_is_returned_in_pages_if_a_limit_is_given(people: People) -> None:
    client = Client(headers=bearer(people.token(people.owner)))
    for name in ("ant", "bee", "cat"):
        people.app(name)
    first = client.get("/api/v1/apps?limit=2")
    assert [app["name"] for app in first.json()] == ["ant", "bee"]
    assert first["Link"] == '</api/v1/apps?limit=2&after=bee>; rel="next"'
    second = client.get("/api/v1/apps?limit=2&after=bee")
    assert [app["name"] for app in second.json()] == ["cat"]
    assert not second.has_header("Link")
    assert len(client.get("/api/v1/apps").json()) == 3


def test_an_unchanged_list_is_not_sent_again(people: People) -> None:
    client = Client(headers=bearer(people.token(people.owner)))
    people.app("ant")
    tag = client.get("/api/v1/apps")["ETag"]
    assert client.get("/api/v1/apps", headers={"If-None-Match": tag}).status_code == 304
    people.app("bee")
    changed = client.get("/api/v1/apps", headers={"If-None-Match": tag})
    assert (changed.status_code, len(changed.json())) == (200, 2)


def test_a_cached_list_is_new_after_every_change(portal_url: str, committed_people: People) -> None:
    token = committed_people.token(committed_people.owner)
    with httpx.Client(base_url=portal_url, headers=bearer(token), timeout=20) as client:
        for number in range(5):
            committed_people.app(f"app-{number}")
            assert len(client.get("/api/v1/apps").json()) == number + 1
        App.objects.filter(name="app-0").delete()
        assert len(client.get("/api/v1/apps").json()) == 4
        revoke_token(committed_people.owner, token=tokens_of(committed_people.owner)[0])
        assert client.get("/api/v1/apps").status_code == 401


def test_a_revoked_token_is_refused_immediately(committed_people: People) -> None:
    token, text = create_token(committed_people.owner, label="kept")
    assert person_of_token(text) == person_of_token(text) == committed_people.owner
    revoke_token(committed_people.owner, token=token)
    assert person_of_token(text) is None


def test_a_write_of_another_connection_changes_the_version_of_the_database(tmp_path: Path) -> None:
    path = tmp_path / "some.sqlite3"
    assert Watcher(path).version() is None
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE some (number INTEGER)")
        database.commit()
        watcher = Watcher(path)
        before = watcher.version()
        assert watcher.version() == before
        database.execute("INSERT INTO some VALUES (1)")
        database.commit()
        assert watcher.version() != before
    database.close()


def test_a_value_requested_simultaneously_is_computed_once(transactional_db: None) -> None:
    kept: DatabaseCache[int] = DatabaseCache(most=2)
    computed = []

    def compute() -> int:
        computed.append(1)
        time.sleep(0.1)
        return 7

    def ask(_: int) -> int:
        try:
            return kept.get("one", compute)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [7] * 8
    assert len(computed) == 1
