"""The charts of the metrics page: their zoom, their flags, and the range in the address."""

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import BrowserContext, expect

from portal.events import client
from tests.browser.test_live_parts import opened

Browse = Callable[..., BrowserContext]
pytestmark = pytest.mark.slow


def test_charts_zoom_together_and_show_new_data(browse: Browse) -> None:
    page = opened(browse(), "/apps/shop/metrics")
    times = [
        page.locator(f"[data-chart={name}] .u-over")
        for name in ("requests", "latency", "cpu", "memory")
    ]
    expect(times[-1]).to_be_visible()
    shown = "document.querySelectorAll('[data-chart] canvas').length"
    assert page.evaluate(shown) == 7
    before = [
        page.locator(f"[data-chart={name}] canvas").evaluate("one => one.toDataURL()")
        for name in ("cpu", "memory")
    ]
    box = times[1].bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 40, steps=4)
    page.mouse.up()
    for name, drawn in zip(("cpu", "memory"), before, strict=True):
        canvas = page.locator(f"[data-chart={name}] canvas").element_handle()
        page.wait_for_function("([one, before]) => one.toDataURL() !== before", arg=[canvas, drawn])
    zoomed = page.get_by_role("link", name="Open this range")
    expect(zoomed).to_be_visible()
    expect(zoomed).to_have_attribute("href", re.compile(r"\?from=[\d%A-T.:-]+&to=[\d%A-T.:-]+$"))
    times[1].dblclick()
    expect(zoomed).not_to_be_visible()
    last = json.loads(client().lrange("slipway:series:shop:fine", -1, -1)[0])
    client().rpush(
        "slipway:series:shop:fine", json.dumps({**last, "at": time.time(), "requests": 12_340})
    )
    expect(page.get_by_text("1234 requests/s").first).to_be_visible()


def test_a_zoomed_range_opens_as_an_address(browse: Browse) -> None:
    page = opened(browse(), "/apps/shop/metrics?span=24h&part=web")
    over = page.locator("[data-chart=memory] .u-over")
    expect(over).to_be_visible()
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 40, steps=4)
    page.mouse.up()
    page.get_by_role("link", name="Open this range").click()
    page.wait_for_url(re.compile(r"part=web&from=.*&to="))
    expect(page.get_by_label("From")).to_be_visible()
    assert page.locator("[data-chart=memory] .u-over").count() == 1


def test_a_custom_range_is_typed_in_the_browsers_time_zone(browse: Browse) -> None:
    page = opened(browse(zone="Europe/Berlin"), "/apps/shop/metrics")
    page.get_by_text("Custom range").click()
    begin = datetime.now(ZoneInfo("Europe/Berlin")) - timedelta(minutes=30)
    page.get_by_label("From", exact=True).fill(f"{begin:%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Show").click()
    in_utc = begin.astimezone(UTC)
    page.wait_for_url(re.compile(f"from={in_utc:%Y-%m-%dT%H}%3A{in_utc:%M}"))
    expect(page.get_by_label("From", exact=True)).to_have_value(
        re.compile(f"{begin:%Y-%m-%dT%H:%M}")
    )


def test_a_flag_of_a_chart_opens_its_release(browse: Browse) -> None:
    page = opened(browse(), "/apps/shop/metrics?span=24h")
    over = page.locator("[data-chart=requests] .u-over")
    expect(over).to_be_visible()
    flags = json.loads(page.locator("[data-columns]").text_content() or "")["flags"]
    at, _, url = flags[0]
    box = over.bounding_box()
    assert box is not None
    share = 1 - (time.time() - at) / 86400
    over.click(position={"x": box["width"] * share, "y": 60})
    page.wait_for_url(f"**{url}")


def test_without_scripts_the_range_form_and_the_table_work(browse: Browse) -> None:
    page = browse(scripts=False).new_page()
    page.goto("/apps/shop/metrics")
    begin = datetime.now(UTC) - timedelta(minutes=30)
    page.get_by_text("Custom range").click()
    page.get_by_label("From (UTC)").fill(f"{begin:%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_label("From (UTC)")).to_have_value(re.compile(f"{begin:%Y-%m-%dT%H:%M}"))
    rows = page.locator(".numbers-fold tbody tr")
    assert 6 <= rows.count() <= 32
