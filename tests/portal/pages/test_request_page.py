"""The page of a request, found by its id."""

from datetime import timedelta
from html import unescape

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from portal.releases.models import Rollout
from runtime.contract.code_meanings import meaning_of
from tests.portal.pages.fleet import REQUEST, write_log


def page_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def test_the_page_shows_the_code_the_fix_and_the_log_lines_of_that_time(member: Client) -> None:
    what = meaning_of("H12")
    assert what is not None
    page = page_of(member, f"/requests/{REQUEST}")
    for words in (
        what.title,
        what.meaning,
        what.look_at,
        what.fix,
        "H12 too-slow",
        "GET /checkout",
        "took 30.0 s",
        "203.0.113.7",
    ):
        assert words in page
    assert "shop-web-0" in page  # the instance that received it, with its state
    assert page.count("is-this") == 1
    assert "GET /products/42?ref=mail" in page  # a line of the same time
    assert (
        "v3 is live, 2 of 2 instances healthy"
        in page[page.index("Platform events") : page.index("Log at that time")]
    )


def test_a_new_release_is_pointed_out(member: Client) -> None:
    assert "This release was new then" not in page_of(member, f"/requests/{REQUEST}")
    last = Rollout.objects.filter(release__app__name="shop", release__number=2)
    assert last.update(state="live", finished_at=timezone.now() - timedelta(minutes=2)) == 1
    page = page_of(member, f"/requests/{REQUEST}")
    assert "This release was new then. Check it first." in page
    assert '<span class="chip">v2</span>' in page


def test_a_request_that_the_app_answered_has_a_page_too(member: Client) -> None:
    wanted = "11111111-2222-3333-4444-555555555555"
    text = (
        "POST /cart 500 took=12ms queued=0ms sent=99 instance=- client=203.0.113.7"
        f" request_id={wanted}"
    )
    write_log(
        settings.APP_LOGS / "docs-site.log",
        [("router", "system", text), ("web.1", "stderr", f"Traceback of {wanted}")],
        ago=5,
    )
    page = page_of(member, f"/requests/{wanted}")
    assert "docs-site answered 500." in page
    assert "Answered by the app" in page
    assert page.count("is-this") == 2


def test_it_is_found_from_the_log_page(member: Client) -> None:
    assert 'action="/requests"' in page_of(member, "/apps/shop/logs")
    answer = member.get("/requests", {"id": f" {REQUEST} ", "app": "shop"})
    assert answer["Location"] == f"/requests/{REQUEST}?app=shop"
    assert "H12" in page_of(member, answer["Location"])
    assert member.get("/requests", {"id": "a/b"}).status_code == 404


def test_it_is_found_in_the_rotated_log_too(member: Client) -> None:
    log = settings.APP_LOGS / "shop.log"
    log.rename(log.with_name("shop.log.1"))
    write_log(log, [("web.1", "stdout", "after the rotation")])
    assert "H12 too-slow" in page_of(member, f"/requests/{REQUEST}")


@pytest.mark.parametrize("unknown", ["00000000-0000-0000-0000-000000000000", "x", "shop"])
def test_an_unknown_request_is_not_found_with_a_reason(member: Client, unknown: str) -> None:
    answer = member.get(f"/requests/{unknown}")
    assert answer.status_code == 404
    assert "is not in the log of an app" in answer.content.decode()


def test_only_the_team_and_admins_see_it(stranger: Client, admin: Client) -> None:
    assert stranger.get(f"/requests/{REQUEST}").status_code == 404
    assert stranger.get(f"/requests/{REQUEST}?app=shop").status_code == 404
    assert admin.get(f"/requests/{REQUEST}").status_code == 200
    assert Client().get(f"/requests/{REQUEST}").status_code == 302


def test_an_app_cannot_forge_a_line_of_the_router(member: Client) -> None:
    wanted = "99999999-2222-3333-4444-555555555555"
    text = f"GET / 200 took=1ms queued=0ms sent=1 instance=- client=- request_id={wanted}"
    write_log(settings.APP_LOGS / "docs-site.log", [("web.1", "stdout", text)], ago=5)
    assert member.get(f"/requests/{wanted}").status_code == 404


def test_the_log_shows_the_lines_of_one_source(member: Client) -> None:
    page = page_of(member, "/apps/shop/logs?source=router")
    assert page.count('<span class="log-source">router</span>') == 1
    assert '<span class="log-source">web' not in page
    assert 'aria-current="true">router</a>' in page
    assert "POST /cart" not in page
