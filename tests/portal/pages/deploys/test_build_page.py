"""The page of a build: commit, difference, steps, and the log of build and boot."""

import re

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from portal.builds.logs import path_of
from portal.builds.models import Build, Repository
from portal.logs.logfile import Reader
from portal.logs.numbered import window
from portal.pages.builds.log_view import SHOWN_LINES, NewLines
from portal.releases.models import Release
from tests.portal.pages.fleet import write_log

OLD, NEW = "a" * 40, "b" * 40
HOSTILE = "<script>alert(1)</script> \x1b[31mred\x1b[0m \u202eabc"


def failed_build() -> Build:
    build = Release.objects.get(app__name="shop", number=4).build
    assert build is not None
    return build


def write_lines(build: Build, count: int) -> None:
    path_of(build).unlink(missing_ok=True)
    write_log(
        path_of(build),
        [("build", "stdout", f"line {number}") for number in range(1, count + 1)],
        step=0,
    )


def numbers_of(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'<li id="L(\d+)"', page)]


def test_the_difference_is_compared_with_the_last_live_release(member: Client) -> None:
    build = failed_build()
    page = member.get(f"/apps/shop/builds/{build.pk}").text
    assert "Compare with v3" in page
    Build.objects.filter(pk=build.pk).update(commit=NEW, author="Zoë <b>")
    before = Release.objects.get(app__name="shop", number=3).build
    assert before is not None
    Build.objects.filter(pk=before.pk).update(commit=OLD)
    Repository.objects.create(app=build.app, address="https://github.com/me/shop.git")
    page = member.get(f"/apps/shop/builds/{build.pk}").text
    assert f'href="https://github.com/me/shop/commit/{NEW}"' in page
    assert f'href="https://github.com/me/shop/compare/{OLD}...{NEW}"' in page
    assert "<bdi>Zoë &lt;b&gt;</bdi>" in page


def test_a_failed_release_is_not_a_version_to_compare_with(member: Client) -> None:
    Release.objects.filter(app__name="shop", number=3).update(description="Deploy x")
    member.post("/apps/shop/settings/config", {"name": "COLOR", "value": "blue"})
    page = member.get("/apps/shop/deploys").text
    assert "v5 with v3" in page
    assert "v5 with v4" not in page
    assert '<span class="chip chip-off">v4</span>' in page


def test_a_long_log_is_shown_in_parts_and_each_line_has_an_address(member: Client) -> None:
    build = failed_build()
    write_lines(build, 1000)
    url = f"/apps/shop/builds/{build.pk}"
    page = member.get(url).text
    assert numbers_of(page) == list(range(1001 - SHOWN_LINES, 1001))
    assert "Lines 751 to 1,000 of 1,000" in page
    assert 'href="?from=501">Earlier lines' in page
    page = member.get(f"{url}?line=123").text
    assert (
        '<li id="L123" class="is-stdout is-this"><a class="log-number" href="?line=123#L123">'
        in (page)
    )
    assert len(numbers_of(page)) == SHOWN_LINES
    assert "Later lines" in page
    assert len(page) < 100_000


@pytest.mark.parametrize("query", ["line=0", "line=-1", "line=x", "line=²", "from=99999999999"])
def test_an_unknown_line_shows_the_end(member: Client, query: str) -> None:
    build = failed_build()
    write_lines(build, 300)
    answer = member.get(f"/apps/shop/builds/{build.pk}?{query}")
    assert answer.status_code == 200
    assert numbers_of(answer.text)[-1] == 300


def test_the_search_finds_lines_that_are_not_on_the_page(member: Client) -> None:
    build = failed_build()
    write_lines(build, 1000)
    page = member.get(f"/apps/shop/builds/{build.pk}?q=LINE+17").text
    assert numbers_of(page) == [17, *range(170, 180)]
    assert "11 of 1,000 lines" in page
    assert "<mark>line 17</mark>0" in page
    page = member.get(f"/apps/shop/builds/{build.pk}?q=%3Cb%3E").text
    assert "No line contains “&lt;b&gt;”" in page


def test_build_and_boot_are_one_log_and_boot_lines_name_their_instance(member: Client) -> None:
    build = failed_build()
    write_log(
        path_of(build),
        [
            ("build", "stdout", "Installed 20 packages"),
            ("slipway", "system", "Rolling out v4."),
            ("web.1a2b3c4d", "stderr", "ModuleNotFoundError: No module named 'payments'"),
        ],
    )
    page = member.get(f"/apps/shop/builds/{build.pk}").text
    assert page.index("Installed 20 packages") < page.index("Rolling out v4.")
    assert '<span class="log-source">web.1a2b3c4d</span>' in page


def test_hostile_names_and_lines_are_shown_as_text(member: Client) -> None:
    build = failed_build()
    Build.objects.filter(pk=build.pk).update(description=HOSTILE, commit=NEW, author=HOSTILE[:30])
    write_log(path_of(build), [("web.<b>", "stdout", HOSTILE), ("build", "stdout", "x" * 16_384)])
    page = member.get(f"/apps/shop/builds/{build.pk}").text
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "\\u202eabc" in page
    assert "12,384 more characters" in page


def test_the_largest_page_is_below_100_kilobytes(member: Client) -> None:
    build = failed_build()
    write_log(path_of(build), [("build", "stdout", "\\u202e&<" * 2000)] * 400, step=0)
    assert len(member.get(f"/apps/shop/builds/{build.pk}").content) < 200_000
    write_log(path_of(build), [("build", "stdout", "a usual line of a build " * 4)] * 400, step=0)
    assert len(member.get(f"/apps/shop/builds/{build.pk}").content) < 100_000


def test_the_page_needs_the_same_queries_for_any_number_of_builds_and_lines(
    member: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    build = failed_build()
    write_lines(build, 5000)
    with django_assert_max_num_queries(14):
        member.get(f"/apps/shop/builds/{build.pk}")


def test_the_stream_continues_the_numbers(member: Client) -> None:
    build = failed_build()
    write_lines(build, 300)
    assert 'sse-swap="lines"' in member.get(f"/apps/shop/builds/{build.pk}").text
    page = member.get(f"/apps/shop/builds/{build.pk}?q=line").text
    assert 'sse-swap="lines"' not in page, "matches are not mixed with new lines"
    place = window(path_of(build), 10**9, 1).place
    lines = NewLines(build, place)
    write_log(path_of(build), [("build", "stdout", "new")] * 2)
    with Reader(path_of(build), after=place) as reader:
        assert numbers_of(lines.html(reader.read())) == [301, 302]
