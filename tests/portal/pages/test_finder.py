"""Tests of the finder: apps, pages, codes and requests by a few words."""

from __future__ import annotations

import pytest
from django.test import Client

from portal.accounts.models import Person
from portal.lifecycle.app_actions import create_app
from portal.pages.finder.results import MOST_APPS, find
from tests.portal.conftest import People


def labels(person: Person, text: str) -> list[str]:
    return [result.label for result in find(person, text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shop logs", ["shop · Logs"]),
        ("LOGS shop", ["shop · Logs"]),
        ("toolshed", ["toolshed"]),
        ("password", ["Account and tokens"]),
        ("h12", ["H12 "]),
        ("3f1f8c5e-8a8e-4a53-9d0e-6b2f6c1f9a11", ["Request 3f1f8c5e"]),
        ("nothing at all", []),
    ],
)
def test_each_word_must_be_in_a_result(people: People, text: str, expected: list[str]) -> None:
    for name in ("shop", "shop-api", "toolshed"):
        people.app(name)
    found = labels(people.owner, text)
    assert len(found) >= len(expected)
    for label, begin in zip(found, expected, strict=False):
        assert label.startswith(begin)
    assert bool(found) == bool(expected)


def test_an_app_that_is_found_alone_shows_all_its_pages(people: People) -> None:
    people.app("toolshed")
    assert labels(people.owner, "tools") == [
        "toolshed",
        *(f"toolshed · {page}" for page in ("Deploys", "Logs", "Metrics", "Traffic", "Settings")),
    ]


def test_only_own_apps_are_found_and_not_more_than_fit(people: People) -> None:
    for number in range(MOST_APPS + 2):
        create_app(people.stranger, team=people.red, name=f"secret-{number}")
    assert labels(people.owner, "secret") == []
    assert len(labels(people.stranger, "secret")) == MOST_APPS


def test_the_admin_page_is_found_by_admins_only(people: People) -> None:
    assert "Admin" in labels(people.admin, "admin")
    assert "Admin" not in labels(people.owner, "admin")


def test_what_was_typed_is_text_on_the_page(people: People) -> None:
    browser = Client()
    browser.force_login(people.owner)
    page = browser.get("/find", {"q": "<script>x</script>\0" + "y" * 500})
    assert page.status_code == 200
    assert b"<script>x" not in page.content
    part = browser.get("/find", {"q": "account"}, headers={"HX-Request": "true"})
    assert b"<html" not in part.content
    assert b'href="/account"' in part.content
