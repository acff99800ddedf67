"""The pages of error codes: meaning, where to look, fix; and the links to them."""

from html import unescape

import pytest
from django.conf import settings
from django.test import Client

from runtime.contract.code_meanings import Meaning, by_subject, meaning_of
from tests.portal.pages.fleet import REQUEST, write_log

CODES = [what for _, codes in by_subject() for what in codes]


def page_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def said(text: str) -> str:
    """Return the text as a page shows it, with text between backticks as code."""
    return "".join(
        f"<code>{part}</code>" if number % 2 else part
        for number, part in enumerate(text.split("`"))
    )


@pytest.mark.parametrize("what", CODES, ids=lambda what: what.code)
def test_each_code_has_a_page(db: None, what: Meaning) -> None:
    page = page_of(Client(), f"/codes/{what.code}")
    for words in (
        f"{what.code} {what.name}",
        what.title,
        what.seen,
        said(what.meaning),
        said(what.look_at),
        said(what.fix),
    ):
        assert words in page


def test_all_codes_are_on_one_page_grouped_by_subject(db: None) -> None:
    page = page_of(Client(), "/codes")
    assert [about for about, _ in by_subject()] == [
        "the app",
        "the request",
        "the platform",
        "an instance",
    ]
    places = [page.index(f'href="/codes/{what.code}"') for what in CODES]
    assert places == sorted(places)
    assert [what.code for what in CODES][-1] == "R15"


def test_a_code_is_found_in_lower_case_and_an_unknown_code_is_not_found(db: None) -> None:
    assert "H12 too-slow" in page_of(Client(), "/codes/h12")
    answer = Client().get("/codes/H77")
    assert answer.status_code == 404
    assert "Code H77 does not exist." in answer.content.decode()


def test_pages_with_a_code_link_to_its_page(member: Client) -> None:
    assert 'href="/codes/H12"' in page_of(member, f"/requests/{REQUEST}")
    assert 'href="/codes"' in page_of(member, "/apps/shop/metrics")
    assert ' code=<a class="link" href="/codes/H12">H12</a> too-slow' in page_of(
        member, "/apps/shop/logs?source=router"
    )


def test_only_lines_of_the_platform_link_to_codes(member: Client) -> None:
    assert meaning_of("R14") is not None
    forged = "GET / 503 code=H10 crashed took=1ms"
    noted = "R14 memory-exceeded: the kernel ended 1 <process>"
    lines = [
        ("slipway", "system", noted),
        ("web.1", "stdout", forged),
        ("web.1", "stdout", "R14"),
        ("router", "system", "GET / 503 code=H77 x"),
    ]
    write_log(settings.APP_LOGS / "docs-site.log", lines, ago=5)
    page = member.get("/apps/docs-site/logs").content.decode()
    assert (
        '<a class="link" href="/codes/R14">R14</a> memory-exceeded: the kernel ended 1'
        " &lt;process&gt;" in page
    )
    assert page.count('href="/codes/') == 1
