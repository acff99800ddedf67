"""The page that compares two releases."""

import json

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from portal.apps.models import App
from portal.apps.secrets import encrypt_config
from portal.builds.models import Build, Repository
from portal.images import actions
from portal.images.access import named
from portal.images.models import ImageJob
from portal.releases.models import Release
from tests.portal.pages.images import CHANGES, answer

HOSTILE = "<script>alert(1)</script>"
URL = "/apps/shop/releases/1/compare/2"


def update(number: int, **values: object) -> None:
    Release.objects.filter(app__name="shop", number=number).update(**values)


def test_names_of_config_vars_and_processes_are_compared_without_values(member: Client) -> None:
    update(1, encrypted_config=encrypt_config({"COLOR": "red-value", "GONE": "gone-value"}))
    update(2, encrypted_config=encrypt_config({"COLOR": "new-value", "FRESH": "fresh-value"}))
    update(1, processes={"web": "old web", "beat": "celery beat"})
    page = member.get(URL).text
    for name, change in (("COLOR", "changed"), ("GONE", "removed"), ("FRESH", "added")):
        assert f'{name}</span><span class="text-ink-2">{change}</span>' in page
    for value in ("red-value", "gone-value", "new-value", "fresh-value"):
        assert value not in page
    assert "<code>old web</code> → <code>gunicorn shop.wsgi</code>" in page
    assert "removed: <code>celery beat</code>" in page


def test_files_packages_and_lines_are_shown_when_the_node_has_compared_them(
    member: Client,
) -> None:
    page = member.get(URL).text
    assert "/app/shop/legacy.py" in page
    assert "3.0.16 → 3.0.17" in page
    assert "added 12.1" in page
    assert '<span class="diff-removed">-import legacy</span>' in page
    assert '<span class="diff-added">+import payments</span>' in page
    assert "shared" in page


def test_a_comparison_is_requested_and_returns_to_the_page(member: Client) -> None:
    page = member.get("/apps/shop/releases/2/compare/4").text
    assert "Compare files" in page
    answered = member.post("/apps/shop/compare/files", {"before": "v2", "after": "v4"})
    assert answered.headers["Location"] == "/apps/shop/releases/2/compare/4"
    assert "Comparing the files." in member.get("/apps/shop/releases/2/compare/4").text


def test_a_stored_comparison_without_packages_can_be_repeated(member: Client) -> None:
    ImageJob.objects.filter(kind="compare").update(result={"added": 0, "changed": 0, "deleted": 0})
    assert "Compare files" in member.get(URL).text


def test_both_numbers_are_chosen_and_in_the_address(member: Client) -> None:
    page = member.get(URL).text
    assert '<option value="1" selected>' in page
    assert '<option value="2" selected>' in page
    answer_ = member.get("/apps/shop/releases/compare?before=3&after=1")
    assert answer_.headers["Location"] == "/apps/shop/releases/3/compare/1"
    assert member.get("/apps/shop/releases/compare?before=x&after=1").status_code == 404
    assert member.get("/apps/shop/releases/1/compare/99").status_code == 404


def test_the_list_the_rollback_and_the_build_link_to_it(member: Client) -> None:
    assert 'href="/apps/shop/releases/1/compare/2"' in member.get("/apps/shop/deploys").text
    page = member.get("/apps/shop/releases/1/rollback").text
    assert 'href="/apps/shop/releases/3/compare/1"' in page


def test_commits_at_the_git_host_are_linked(member: Client) -> None:
    builds = [Release.objects.get(app__name="shop", number=number).build_id for number in (1, 2)]
    for build, commit in zip(builds, ("a" * 40, "b" * 40), strict=True):
        Build.objects.filter(pk=build).update(commit=commit)
    Repository.objects.create(
        app=App.objects.get(name="shop"), address="https://gitlab.com/me/shop.git"
    )
    page = member.get(URL).text
    assert f"https://gitlab.com/me/shop/-/compare/{'a' * 40}...{'b' * 40}" in page


def test_hostile_names_and_lines_are_text(member: Client) -> None:
    result = json.loads(json.dumps(CHANGES))
    result["changes"][0][1] = f"/app/{HOSTILE}"
    result["packages"] = [["Node.js", HOSTILE, HOSTILE, ""]]
    result["texts"] = [{"path": HOSTILE, "lines": [f"+{HOSTILE}"], "is_cut": True}]
    ImageJob.objects.filter(kind="compare").update(result=result)
    update(2, description=f"Deploy {HOSTILE}", processes={"web": HOSTILE})
    page = member.get(URL).text
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 6


def test_the_page_stays_small_and_needs_the_same_queries(
    member: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    result = json.loads(json.dumps(CHANGES))
    result["changes"] = [["A", f"/app/some/folder/file{number}.py", 1] for number in range(2000)]
    result["packages"] = [["Python", f"package{number}", "1", "2"] for number in range(1000)]
    result["texts"] = [
        {"path": "/app/x", "lines": ["+ a usual line of code"] * 400, "is_cut": False}
    ]
    ImageJob.objects.filter(kind="compare").update(result=result)
    with django_assert_max_num_queries(30):
        found = member.get(URL)
    assert len(found.content) < 100_000
    assert "And 900 more." in found.text


def test_strangers_see_nothing(stranger: Client) -> None:
    assert stranger.get(URL).status_code == 404


@pytest.fixture(autouse=True)
def compared(sample_portal: None) -> None:
    app = App.objects.get(name="shop")
    job = actions.compare(
        app.team.memberships.get(role="owner").person,
        before=named(app, "v1"),
        after=named(app, "v2"),
    )
    if job.state == "queued":
        answer(job, CHANGES)
