"""The frame of all pages: the sidebar, the app switcher, the menu of phones, and local times."""

import re
from collections.abc import Callable

from playwright.sync_api import BrowserContext, expect

Browse = Callable[..., BrowserContext]


def test_a_wide_screen_has_the_pages_of_the_app_in_a_sidebar(browse: Browse) -> None:
    page = browse().new_page()
    page.goto("/apps/shop/logs")
    pages = page.locator(".side").get_by_role("navigation", name="Pages of shop")
    expect(pages.get_by_role("link")).to_have_text(
        ["Overview", "Deploys", "Logs", "Metrics", "Traffic", "Settings"]
    )
    expect(pages.get_by_role("link", name="Logs")).to_have_attribute("aria-current", "page")
    expect(page.locator(".tabs")).to_be_hidden()
    pages.get_by_role("link", name="Deploys").click()
    page.wait_for_url("**/apps/shop/deploys")


def test_the_switcher_filters_apps_by_name_and_lists_the_last_opened_first(browse: Browse) -> None:
    page = browse().new_page()
    for name in ("chat", "shop"):
        page.goto(f"/apps/{name}")
    page.goto("/")
    page.locator(".side .switch > summary").click()
    apps = page.locator("#side-apps a")
    expect(apps.nth(0)).to_have_text("shop")
    expect(apps.nth(1)).to_have_text("chat")
    page.locator(".side").get_by_label("Filter apps").fill("docs")
    expect(apps).to_have_text(["docs-site"])
    apps.first.click()
    page.wait_for_url("**/apps/docs-site")


def test_the_switcher_searches_the_list_of_apps_without_scripts(browse: Browse) -> None:
    page = browse(scripts=False).new_page()
    page.goto("/apps/shop")
    page.locator(".side .switch > summary").click()
    field = page.locator(".side").get_by_label("Filter apps")
    field.fill("docs")
    field.press("Enter")
    page.wait_for_url("**/?q=docs")


def test_the_menu_of_a_phone_works_without_scripts(browse: Browse) -> None:
    page = browse(width=390, scripts=False).new_page()
    page.goto("/apps/shop/metrics")
    expect(page.locator(".side")).to_be_hidden()
    menu = page.locator(".phone-menu")
    menu.locator("> summary").click()
    expect(menu.get_by_role("link", name="Images")).to_be_visible()
    menu.get_by_role("link", name="Traffic").click()
    page.wait_for_url("**/apps/shop/traffic")


def test_the_breadcrumbs_keep_the_title_of_the_page_on_a_phone(browse: Browse) -> None:
    page = browse(width=390).new_page()
    page.goto("/apps/shop/compare?before=v1&after=v2")
    title = page.get_by_role("navigation", name="Breadcrumb").locator("[aria-current]")
    expect(title).to_be_visible()
    assert title.evaluate("element => element.scrollWidth <= element.clientWidth")


def test_logs_and_metrics_use_the_full_width(browse: Browse) -> None:
    page = browse(width=1900).new_page()
    for path in ("/apps/shop/logs", "/apps/shop/metrics"):
        page.goto(path)
        assert page.locator("main > .frame").evaluate("element => element.clientWidth") > 1600


def test_times_are_in_the_time_zone_of_the_browser(browse: Browse) -> None:
    here = browse(zone="America/New_York").new_page()
    here.goto("/apps/shop")
    moment = here.locator("time[data-local=minute]").first
    expect(moment).to_have_text(re.compile(r"\d+ \w{3} 20\d\d, \d\d:\d\d (EDT|EST|GMT-[45])$"))
    plain = browse(zone="America/New_York", scripts=False).new_page()
    plain.goto("/apps/shop")
    expect(plain.locator("time[data-local=minute]").first).to_have_text(re.compile(" UTC$"))
    here.goto("/apps/shop/logs")
    line = here.locator(".log-lines li:not(.log-day) time").first
    utc = line.evaluate("element => element.dateTime.slice(11, 13)")
    local = int((line.text_content() or "")[:2])
    assert (int(utc) - local) % 24 in (4, 5)
