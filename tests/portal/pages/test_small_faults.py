"""Small faults of pages that a new user met, each with its test."""

import re

import pytest
from django.test import Client

from portal.accounts.models import Token
from portal.apps.models import App, Instance
from portal.apps.secrets import encrypt_config
from portal.builds.models import Build, BuildState
from portal.deploys.app_status import status_of
from portal.metrics.series import RequestActivity
from portal.pages.live.views import overview_parts
from portal.releases.history import previous_good
from portal.releases.models import Release, Rollout, RolloutState
from portal.templatetags.parts import bar
from tests.portal.conftest import People


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/apps/shop/", "/apps/shop"),
        ("/apps/shop/logs/?source=web", "/apps/shop/logs?source=web"),
        ("/account/", "/account"),
    ],
)
def test_a_trailing_slash_leads_to_the_page(member: Client, path: str, target: str) -> None:
    answer = member.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (301, target)


@pytest.mark.parametrize("path", ["/nothing/", "/apps/shop/nothing/"])
def test_a_trailing_slash_leads_nowhere_else(member: Client, path: str) -> None:
    assert member.get(path).status_code == 404


def test_browsers_find_an_icon_and_crawlers_are_refused(client: Client) -> None:
    assert client.get("/favicon.ico").headers["Location"].startswith("/static/favicon")
    assert "Disallow: /" in client.get("/robots.txt").text


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/apps/shop/settings/formation", "/apps/shop/settings"),
        ("/apps/shop/settings/branch", "/apps/shop/settings"),
        ("/apps/shop/restart", "/apps/shop"),
        ("/account/password", "/account"),
        ("/team/harbour/people", "/team/harbour"),
    ],
)
def test_the_url_of_a_form_leads_to_its_page(member: Client, path: str, page: str) -> None:
    answer = member.get(path)
    assert answer.status_code == 405
    assert answer.headers["Refresh"] == f"0; url={page}"
    assert f'href="{page}"' in answer.text


def test_a_reload_after_create_token_creates_no_second_token(people: People) -> None:
    client = Client()
    client.force_login(people.owner)
    number = re.search(r'name="form_number" value="([^"]+)"', client.get("/account").text)
    assert number is not None
    form = {"label": "laptop", "form_number": number[1]}
    assert "Copy it now" in client.post("/account", form).text
    again = client.post("/account", form, follow=True)
    assert "This form was already sent" in again.text
    assert Token.objects.filter(person=people.owner).count() == 1


def test_cancel_build_disappears_with_the_end_of_the_build(member: Client) -> None:
    build = Build.objects.filter(state=BuildState.BUILDING).select_related("app").first()
    assert build is not None
    address = f"/apps/{build.app.name}/builds/{build.pk}"
    assert "Cancel build" in member.get(address).text
    Build.objects.filter(pk=build.pk).update(state=BuildState.FAILED, reason="It failed.")
    events = b"".join(member.get(f"{address}/events")).decode()
    cancel = events[events.index("event: cancel") :].partition("\n\n")[0]
    assert "<form" not in cancel
    assert "Cancel build" not in member.get(address).text


def test_an_overview_that_was_opened_before_the_first_deploy_fills_in(people: People) -> None:
    client = Client()
    client.force_login(people.owner)
    app = people.app()
    page = client.get("/apps/hello").text
    for part in ("acts", "instances", "last_deploys"):
        assert f'sse-swap="{part}"' in page
    assert "Instances</h2>" not in page
    release = Release.objects.create(
        app=app,
        number=1,
        image="sha256:1",
        processes={"web": "run"},
        encrypted_config=encrypt_config({}),
    )
    App.objects.filter(pk=app.pk).update(current_release=release)
    parts = overview_parts(App.objects.get(pk=app.pk), "token")
    assert "Restart" in parts["acts"]
    assert "Instances</h2>" in parts["instances"]
    assert "Last deploys</h2>" in parts["last_deploys"]


def test_roll_back_does_not_offer_what_already_runs(member: Client) -> None:
    app = App.objects.get(name="shop")
    current = app.current_release
    assert current is not None
    before = previous_good(app)
    copy = Release.objects.create(
        app=app,
        number=current.number + 10,
        image=current.image,
        processes=current.processes,
        encrypted_config=current.encrypted_config,
        description="Restart",
    )
    Rollout.objects.create(release=copy, state=RolloutState.LIVE)
    app.current_release = copy
    assert previous_good(app) == before


def test_the_healthy_instances_are_at_most_the_wanted_ones(member: Client) -> None:
    app = App.objects.get(name="shop")
    instance = Instance.objects.filter(app=app, state="live").first()
    assert instance is not None
    for number in range(5):
        instance.pk = f"more-{number}"
        instance.save(force_insert=True)
    assert "3 of 3 instances healthy" in status_of(app).sentence


def test_no_requests_now_is_not_said_as_if_there_were_none() -> None:
    assert RequestActivity(rate=0, p95=None, rates=[0, 40, 0]).words == "no requests now"
    assert RequestActivity(rate=0, p95=None, rates=[0, 0]).words == "no requests"
    assert RequestActivity(rate=38.2, p95=None, rates=[38.2]).words == "38 requests/s"


def test_only_the_part_of_a_bar_that_exceeds_the_quota_is_red() -> None:
    over = bar(50, 100, "CPU", after=130)
    assert (over["level"], over["second_level"]) == ("", "full")
    assert bar(100, 100, "CPU")["level"] == "full"
    assert bar(10, 100, "CPU", behind=300)["second_level"] == ""


def test_a_refused_scale_shows_the_usage_of_the_typed_numbers(member: Client) -> None:
    page = member.get("/apps/shop/settings/scale").text
    inputs = re.findall(r"<input[^>]*>", page[page.index("settings/formation") :])
    fields = {
        name[1]: value[1]
        for tag in inputs
        if (name := re.search(r'name="(\w+-(?:count|cpu|memory))"', tag))
        and (value := re.search(r'value="([^"]*)"', tag))
    }
    answer = member.post("/apps/shop/settings/formation", {**fields, "web-count": "90"})
    assert answer.status_code == 422
    assert 'value="90"' in answer.text
    assert "bar-second-full" in answer.text
