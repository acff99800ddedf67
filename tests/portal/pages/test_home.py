"""The home page: filters, pages, failures first, and its cost with 5,000 apps."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from portal.apps.models import App, Instance
from portal.builds.models import Build, BuildState
from portal.lifecycle.account_actions import create_team
from portal.pages.apps.home import FAILURES_SHOWN, ON_A_PAGE
from tests.portal.conftest import People
from tests.portal.pages.many import add_many

MANY = 5_000


@pytest.fixture
def owner(people: People) -> Client:
    """A signed-in client of the owner of team blue."""
    client = Client()
    client.force_login(people.owner)
    client.get("/account")  # the session is read once
    return client


def listed(page: str) -> list[str]:
    """Return the names in the list of all apps."""
    return re.findall(r'font-medium" href="/apps/([^"]+)"', page)


def test_five_thousand_apps_cost_seven_queries_and_sixty_kilobytes(
    people: People, owner: Client
) -> None:
    add_many(people, MANY)
    with CaptureQueriesContext(connection) as asked:
        answer = owner.get("/")
    assert len(asked) <= 7, "\n".join(query["sql"] for query in asked)
    assert len(answer.content) < 60_000
    assert len(listed(answer.text)) == ON_A_PAGE


def test_pages_continue_where_the_last_one_ended(people: People, owner: Client) -> None:
    add_many(people, 70)
    pages = [listed(owner.get(f"/?page={number}").text) for number in (1, 2)]
    assert [len(page) for page in pages] == [ON_A_PAGE, 70 - ON_A_PAGE]
    assert sorted(pages[0] + pages[1]) == sorted(App.objects.values_list("name", flat=True))


def test_search_state_and_team_limit_the_list(people: People, owner: Client) -> None:
    add_many(people, 12)
    Instance.objects.filter(pk="app-5-1").update(state="crashed")
    App.objects.create(team=create_team(people.owner, name="green"), name="other")
    assert listed(owner.get("/?q=PP-1").text) == ["app-1", "app-10", "app-11"]
    assert listed(owner.get("/?state=failed").text) == ["app-5"]
    assert listed(owner.get("/?state=stopped").text) == ["other"]
    assert listed(owner.get("/?state=attention").text) == ["app-0", "app-5"]
    assert listed(owner.get("/?team=green").text) == ["other"]
    page = owner.get("/").text
    assert page.index(">blue</a></li>") < page.index("app-9") < page.index(">green</a></li>")
    assert "No app matches" in owner.get("/?q=nothing").text


def test_only_failures_need_attention_and_few_are_shown(people: People, owner: Client) -> None:
    add_many(people, 10)
    Build.objects.filter(state=BuildState.FAILED).delete()
    Instance.objects.exclude(app__name="app-9").update(state="crashed", detail="It exited with 1.")
    Build.objects.filter(app__name="app-9").update(state=BuildState.QUEUED)
    page = owner.get("/").text
    attention = page[page.index("Needs attention") : page.index("All apps")]
    assert attention.count("It exited with 1.") == FAILURES_SHOWN
    assert "app-9" not in attention
    assert f"{9 - FAILURES_SHOWN} more" in attention


def test_the_list_is_sent_again_only_if_it_has_changed(people: People, owner: Client) -> None:
    add_many(people, 3)
    htmx = {"HX-Request": "true"}
    again = re.search(r'id="app-list" hx-get="([^"]+)"', owner.get("/").text)
    assert again is not None
    address = again[1].replace("&amp;", "&")
    assert owner.get(address, headers=htmx).status_code == 204
    Instance.objects.filter(pk="app-2-1").update(state="crashed")
    answer = owner.get(address, headers=htmx)
    assert answer.status_code == 200
    assert answer.text.startswith('<div id="app-list"')
    assert "Failed" in answer.text
