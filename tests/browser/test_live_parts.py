"""Live parts and scripts of pages: uploads, logs, states, themes, copying. Then the same without
scripts."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from playwright.sync_api import BrowserContext, Page, Route, expect

from portal.accounts.models import Person
from portal.apps.models import App
from portal.builds.models import Build
from portal.deploys import actions as builds
from portal.images.models import ImageJob
from portal.lifecycle import app_actions as apps
from portal.releases import actions as releases
from portal.releases.access import open_rollout
from portal.releases.models import RolloutState
from tests.portal.pages.fleet import PASSWORD, write_log
from tests.portal.pages.images import CHANGES, answer, image

Browse = Callable[..., BrowserContext]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "little-boat.zip"
    path.write_bytes(b"PK" + bytes(200_000))
    return path


def opened(context: BrowserContext, path: str) -> Page:
    page = context.new_page()
    page.goto(path)
    return page


def test_signing_in_redirects_to_the_requested_page(browse: Browse) -> None:
    # The tests' settings use a fast hash, which the portal's own settings do not know.
    Person.objects.filter(username="member").update(
        password=PBKDF2PasswordHasher().encode(PASSWORD, "salt")
    )
    page = opened(browse(""), "/apps/shop")
    page.get_by_label("Name").fill("member")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile("/apps/shop$"))


def test_choosing_an_archive_uploads_it_and_opens_its_build(browse: Browse, archive: Path) -> None:
    page = opened(browse(), "/apps/empty-hull")
    page.get_by_label("Drop an archive here, or choose one").set_input_files(archive)
    page.wait_for_url(re.compile("/apps/empty-hull/builds/"))
    expect(page.get_by_role("heading", name="little-boat.zip")).to_be_visible()
    expect(page.get_by_text(re.compile(r"(1st|\d+\w\w) in the queue"))).to_be_visible()


def test_dropping_an_archive_on_the_first_page_creates_an_app_with_its_name(
    browse: Browse, archive: Path
) -> None:
    page = opened(browse("newcomer"), "/")
    transfer = page.evaluate_handle(
        """() => { const data = new DataTransfer(); data.items.add(new File(["PK"], "little-boat.zip")); return data; }"""  # noqa: E501
    )
    page.dispatch_event(".drop", "dragenter", {"dataTransfer": transfer})
    assert page.locator(".drop[data-over]").count() == 1
    page.dispatch_event(".drop", "drop", {"dataTransfer": transfer})
    page.wait_for_url(re.compile("/apps/little-boat/builds/"))


def test_a_refused_upload_shows_the_reason_on_the_same_page(browse: Browse, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("no archive")
    page = opened(browse(), "/apps/empty-hull")
    page.get_by_label("Drop an archive here, or choose one").set_input_files(wrong)
    expect(page.get_by_role("alert")).to_contain_text("Unsupported archive type: notes.txt.")
    assert page.url.endswith("/apps/empty-hull")


def test_a_build_log_and_its_end_arrive_without_a_reload(browse: Browse) -> None:
    build = Build.objects.get(state="building")
    log = settings.BUILD_LOGS / f"{build.pk}.log"
    page = opened(browse(), f"/apps/chat/builds/{build.pk}")
    lines = page.locator(".log-lines li:not(.log-empty)")
    expect(lines).to_have_count(6)
    write_log(log, [("build", "stdout", "one line more")], ago=0)
    expect(lines).to_have_count(7)
    expect(lines.last).to_contain_text("one line more")
    builds.succeed(build, image("chat", build.pk), {"web": "node index.js"})
    expect(page.locator("main").get_by_text("is built and its rollout is queued")).to_be_visible()
    expect(page.locator("#announcements")).to_contain_text("its rollout is queued")


def test_a_line_of_a_long_log_has_an_address(browse: Browse) -> None:
    build = Build.objects.get(state="failed")
    lines = [("build", "stdout", f"step {number}") for number in range(1, 901)]
    write_log(settings.BUILD_LOGS / f"{build.pk}.log", lines)
    page = opened(browse(), f"/apps/reports/builds/{build.pk}#L100")
    page.wait_for_url(re.compile(r"\?line=100#L100$"))
    expect(page.locator("#L100.is-this")).to_be_in_viewport()
    page.locator("#L102 .log-number").click()
    expect(page.locator("#L102.is-this")).to_be_visible()
    assert page.url.endswith("?line=102#L102")
    plain = opened(browse(scripts=False), f"/apps/reports/builds/{build.pk}?line=100#L100")
    expect(plain.locator("#L100.is-this")).to_be_in_viewport()
    plain.get_by_label("Search the log", exact=True).fill("step 900")
    plain.get_by_role("button", name="Search").click()
    expect(plain.get_by_text("1 of 907 lines")).to_be_visible()
    plain.locator("#L907 .log-number").click()
    plain.wait_for_url(re.compile(r"\?line=907#L907$"))


def test_a_lost_stream_is_shown_and_continues_where_it_ended(browse: Browse) -> None:
    context = browse()
    page = opened(context, "/apps/shop/logs")
    notice = page.locator("[data-connection]")
    expect(notice).to_have_text("Following")
    write_log(settings.APP_LOGS / "shop.log", [("web.1", "stdout", "before the outage")], ago=0)
    expect(page.get_by_text("before the outage")).to_be_visible()
    # A response that is not a stream closes the EventSource permanently, for example while the
    # portal restarts. The page must open a new one.
    page.route("**/logs/events*", lambda route: route.fulfill(status=503))
    page.evaluate(
        "document.querySelector('[sse-connect]')['htmx-internal-data'].sseEventSource.close()"
    )
    page.evaluate(
        "document.querySelector('[sse-connect]')['htmx-internal-data'].sseEventSource.onerror()"
    )
    expect(notice).to_have_text("Connection lost. Reconnecting…", timeout=15_000)
    write_log(settings.APP_LOGS / "shop.log", [("web.1", "stdout", "during the outage")], ago=0)
    page.unroute("**/logs/events*")
    expect(page.get_by_text("during the outage")).to_be_visible(timeout=15_000)
    expect(page.get_by_text("before the outage")).to_have_count(1)
    expect(notice).to_have_text("Following")


def test_the_overview_follows_changes(browse: Browse) -> None:
    page = opened(browse(), "/apps/docs-site")
    expect(page.get_by_text("v1 is live, 1 of 1 instance healthy.")).to_be_visible()
    assert page.locator("#announcements").text_content() == ""  # only changes are announced
    App.objects.get(name="docs-site").instances.update(
        state="crashed", detail="It exited with code 3.", restarts=2
    )
    expect(page.get_by_text("It exited with code 3.").first).to_be_visible()
    expect(page.get_by_role("cell", name="Crashed")).to_be_visible()


def test_ctrl_k_finds_a_page_of_an_app(browse: Browse) -> None:
    page = opened(browse(), "/")
    page.keyboard.press("Control+k")
    page.keyboard.type("shop logs")
    line = page.get_by_role("link", name="shop · Logs")
    expect(line).to_be_visible()
    page.keyboard.press("Escape")
    expect(line).not_to_be_visible()
    page.get_by_role("link", name="Find").click()
    expect(line).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(line).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/apps/shop/logs$"))


def test_an_open_question_stays_open_while_the_page_changes(browse: Browse) -> None:
    page = opened(browse(), "/apps/docs-site")
    page.locator("summary", has_text="Restart").click()
    confirm = page.get_by_role("button", name="Restart now")
    expect(confirm).to_be_visible()
    App.objects.get(name="docs-site").instances.update(state="crashed", detail="It exited.")
    expect(page.get_by_text("It exited.").first).to_be_visible()  # another part still follows
    expect(confirm).to_be_visible()
    page.locator("summary", has_text="Restart").click()
    expect(confirm).not_to_be_visible()


def test_the_steps_of_a_rollout_appear_on_the_page_of_deploys(browse: Browse) -> None:
    page = opened(browse(), "/apps/docs-site/deploys")
    newest = page.locator("[sse-swap=newest]")
    expect(newest.get_by_text("v1 live")).to_be_visible()
    app = App.objects.get(name="docs-site")
    apps.set_config_vars(Person.objects.get(username="member"), app=app, changes={"LEVEL": "debug"})
    rollout = open_rollout(app)
    assert rollout is not None
    expect(newest.get_by_text("v2", exact=True)).to_be_visible()
    releases.advance(rollout, RolloutState.LAUNCHING)
    releases.add_step(rollout, "start web v2, 1 of 1")
    expect(newest.get_by_text("Start web v2, 1 of 1")).to_be_visible()
    releases.finish_failed(rollout, "The instance web did not become healthy.")
    expect(newest.get_by_text("The instance web did not become healthy.")).to_be_visible()
    expect(newest.get_by_text("Failed", exact=True)).to_be_visible()
    # a form that arrived through the stream
    page.locator("[sse-swap=deploys]").get_by_role("button", name=re.compile("Retry")).click()
    expect(page.get_by_text("v2 is being rolled out again.")).to_be_visible()


def test_a_log_can_be_filtered_and_paused(browse: Browse) -> None:
    page = opened(browse(), "/apps/shop/logs")
    page.get_by_label("Filter lines").fill("POST /cart")
    expect(page.locator(".log-lines li:visible")).to_have_count(20)
    expect(page.locator(".log-day").first).to_contain_text("(UTC)")
    page.get_by_label("Filter lines").fill("")
    page.get_by_role("button", name="Pause").click()
    write_log(settings.APP_LOGS / "shop.log", [("web.1", "stdout", "while paused")], ago=0)
    time.sleep(1)
    assert page.get_by_text("while paused").count() == 0
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("while paused")).to_be_visible()


def test_a_name_is_checked_while_it_is_typed(browse: Browse) -> None:
    page = opened(browse(), "/new")
    name = page.get_by_label("Name", exact=True)
    name.press_sequentially("My Boat")
    expect(name).to_have_value("my-boat")
    expect(page.get_by_text("http://my-boat.slipway.localhost:8080")).to_be_visible()
    name.fill("shop")
    expect(page.get_by_text("The name shop is already in use.")).to_be_visible()


def test_scaling_shows_the_limit_before_it_is_exceeded(browse: Browse) -> None:
    page = opened(browse(), "/apps/shop/settings/scale")
    for _ in range(5):
        page.get_by_role("button", name="One web more").click()
    expect(page.locator("#quota-preview")).to_contain_text("4.75 CPU")
    page.get_by_role("button", name="Scale").click()
    expect(page.get_by_text("is 4 CPU in total").first).to_be_visible()
    expect(page.locator("#id_web-count")).to_have_value("7")


def test_a_value_is_revealed_changed_and_hidden_in_place(browse: Browse) -> None:
    page = opened(browse(), "/apps/shop/settings/variables")
    page.get_by_role("link", name="Reveal SECRET_KEY").click()
    expect(page.get_by_label("SECRET_KEY", exact=True)).to_have_value("not-so-secret")
    page.get_by_role("link", name="Hide").click()
    expect(page.get_by_role("link", name="Reveal SECRET_KEY")).to_be_visible()
    assert page.url.endswith("/settings/variables")


def test_a_delete_button_needs_the_typed_name(browse: Browse) -> None:
    page = opened(browse(), "/apps/empty-hull/settings/danger")
    button = page.get_by_role("button", name="Delete empty-hull")
    expect(button).to_be_disabled()
    page.get_by_label("Type empty-hull to delete it").fill("empty-hull")
    button.click()
    expect(page.get_by_text("empty-hull was deleted.")).to_be_visible()


def test_the_theme_follows_the_system_until_it_is_chosen(browse: Browse) -> None:
    page = opened(browse(scheme="dark"), "/")
    background = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="Light").click()
    light = page.evaluate(background)
    assert light != dark
    page.reload()
    assert page.evaluate(background) == light


def test_a_command_is_copied_with_one_click(browse: Browse) -> None:
    context = browse()
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = opened(context, "/apps/empty-hull")
    page.get_by_role("button", name="Copy git commands").click()
    assert "git push slipway HEAD:main" in page.evaluate("navigator.clipboard.readText()")


def test_on_a_phone_log_and_rollback_are_in_the_bottom_bar(browse: Browse) -> None:
    page = opened(browse(width=390), "/apps/shop")
    status = page.get_by_text("v3 is live, 3 of 3 instances healthy.")
    expect(status).to_be_in_viewport()
    bar = page.locator(".thumb-bar")
    for name in ("Roll back to v2", "Log"):
        target = bar.get_by_text(name)
        expect(target).to_be_in_viewport()
        box = target.bounding_box()
        assert box is not None
        assert box["y"] > 844 / 2
    bar.get_by_role("link", name="Roll back to v2").click()
    expect(page.get_by_label("Keep today's config vars")).to_be_checked()
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("Rolling back to v2 as v5")).to_be_visible()


def test_everything_but_the_live_parts_works_without_scripts(browse: Browse, archive: Path) -> None:
    page = opened(browse(scripts=False), "/apps/empty-hull")
    page.get_by_label("Choose an archive").set_input_files(archive)
    page.get_by_role("button", name="Deploy", exact=True).click()
    expect(page.get_by_role("heading", name="little-boat.zip")).to_be_visible()
    page.goto("/apps/shop/settings/variables")
    page.get_by_role("link", name="Reveal SECRET_KEY").click()
    expect(page.get_by_label("SECRET_KEY", exact=True)).to_have_value("not-so-secret")
    page.get_by_role("navigation", name="Settings").get_by_role("link", name="Danger").click()
    page.get_by_label("Type shop to delete it").fill("shop")
    page.get_by_role("button", name="Delete shop").click()
    expect(page.get_by_text("shop was deleted.")).to_be_visible()


def test_a_deleted_app_ends_its_streams(browse: Browse) -> None:
    page = opened(browse(), "/apps/docs-site")
    expect(page.get_by_text("v1 is live")).to_be_visible()
    apps.delete_app(
        Person.objects.get(username="member"),
        app=App.objects.get(name="docs-site"),
        typed_name="docs-site",
    )
    expect(page.locator("main").get_by_text("This app was deleted.")).to_be_visible(timeout=30_000)


def test_a_page_whose_app_was_deleted_before_its_stream_opened_shows_that(browse: Browse) -> None:
    page = browse().new_page()

    def delete_first(route: Route) -> None:
        if App.objects.filter(name="docs-site", deleted_at=None).exists():
            apps.delete_app(
                Person.objects.get(username="member"),
                app=App.objects.get(name="docs-site"),
                typed_name="docs-site",
            )
        route.continue_()

    page.route("**/apps/docs-site/events*", delete_first)
    page.goto("/apps/docs-site")
    expect(page.locator("main").get_by_text("This app was deleted.")).to_be_visible(timeout=30_000)
    expect(page.locator("#announcements")).to_have_text("This app was deleted.")
    expect(page.locator("[data-connection]")).to_have_text("Complete")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_comparison_is_started_and_its_result_appears(browse: Browse, scripts: bool) -> None:
    page = opened(browse(scripts=scripts), "/apps/shop/releases/2/compare/4")
    page.get_by_role("button", name="Compare files").click()
    expect(page.get_by_text("Comparing the files.")).to_be_visible(timeout=20_000)
    answer(ImageJob.objects.get(state="queued"), CHANGES)
    if not scripts:
        expect(page.get_by_text("Reload this page to see the result.")).to_be_visible()
        page.reload()
    expect(page.get_by_text("/app/shop/legacy.py")).to_be_visible(timeout=20_000)
