"""On a phone, each link and control is large enough for a thumb (WCAG 2.2, 2.5.5 Target Size)."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.test_every_page import PAGES, SETTINGS, address

LEAST = 44  # CSS pixels, in both directions
# A link between the words of a sentence has the height of its line. A link that covers its row, and
# a checkbox in its label, have the box of that row or label.
SMALL_TARGETS = """least => {
  const inSentence = (link) => getComputedStyle(link).display.startsWith("inline") &&
    [...link.parentElement.childNodes].some((node) => node.nodeType === 3 && /[\\w.,]/.test(node.data));
  const boxOf = (target) => {
    if (target.matches(".stretched")) {
      let row = target.parentElement;
      while (getComputedStyle(row).position === "static") row = row.parentElement;
      return row.getBoundingClientRect();
    }
    const label = target.matches("[type=checkbox], [type=radio], .switch-field input, .log-filter input") && target.closest("label");
    return (label || target).getBoundingClientRect();
  };
  const found = new Set();
  for (const target of document.querySelectorAll("a[href], button, summary, select, textarea, input:not([type=hidden])")) {
    const box = boxOf(target);
    if (!target.checkVisibility({visibilityProperty: true}) || box.width <= 1 || box.bottom < 0) continue;
    if (target.matches("a") && inSentence(target)) continue;
    if (box.width < least - 0.5 || box.height < least - 0.5)
      found.add(`${Math.round(box.width)}x${Math.round(box.height)} ${target.outerHTML.slice(0, 110)}`);
  }
  return [...found];
}"""  # noqa: E501


@pytest.mark.slow
@pytest.mark.parametrize("pages", [PAGES, SETTINGS], ids=["pages", "settings"])
def test_every_link_and_control_of_a_phone_is_at_least_44_pixels_in_size(
    browse: Callable[..., BrowserContext], pages: dict[str, list[str]]
) -> None:
    findings: list[str] = []
    for person, paths in pages.items():
        page = browse(person, width=390).new_page()
        for path in paths:
            page.goto(address(path))
            page.evaluate(
                "for (const fold of document.querySelectorAll('details')) fold.open = true"
            )
            findings += [f"{path}: {found}" for found in page.evaluate(SMALL_TARGETS, LEAST)]
    assert not findings, "\n".join(findings)
