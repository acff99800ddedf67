"""Every page in a real browser: accessible, small, without violations of the content security
policy, without overflow."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import BrowserContext, Page

from portal.apps.volumes import Volume
from portal.builds.models import Build
from portal.pages.settings.sections import SECTIONS
from tests.browser.conftest import ROOT
from tests.portal.pages.fleet import REQUEST

AXE = (ROOT / "node_modules" / "axe-core" / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Leave out the passed checks: to describe and transfer them takes longer than the checks.
VIOLATIONS = """rules => axe.run(document, {runOnly: rules, resultTypes: ["violations"], selectors: false})
    .then(result => result.violations)"""  # noqa: E501
MOST_BYTES = 300_000
PAGES = {
    "": ["/sign-in", "/codes", "/codes/H98", "/codes/R14"],
    "newcomer": ["/", "/images"],
    "member": [
        "/",
        "/new",
        "/teams/new",
        "/account",
        "/team/harbour",
        "/apps/shop",
        "/apps/shop/deploys",
        "/apps/shop/releases/1/rollback",
        "/apps/shop/logs",
        "/apps/shop/logs?source=router",
        "/apps/shop/logs?q=nowhere&until=2026-01-01T00:00",
        "/apps/shop/metrics",
        "/apps/shop/metrics?span=30d&part=web.0",
        f"/apps/shop/metrics?from={timezone.now() - timedelta(days=9):%Y-%m-%dT%H:%M}",
        "/apps/empty-hull/metrics",
        f"/requests/{REQUEST}",
        "/codes/H12",
        "/apps/shop/traffic",
        "/apps/shop/settings",
        "/apps/shop/settings/variables?reveal=SECRET_KEY",
        "/apps/empty-hull",
        "/images",
        "/find?q=shop",
        "/apps/shop/images/v2",
        "/apps/shop/images/before-checkout",
        "/apps/shop/compare?before=v1&after=v2",
        "/apps/shop/releases/1/compare/2",
        "/apps/shop/releases/2/compare/3",
        "/apps/shop/instances/shop-web-0",
        "VOLUME uploads",
        "VOLUME loose",
        "VOLUME deleted",
        "BUILDING",
        "FAILED",
        "FAILED?line=3",
        "FAILED?q=pandas",
        "/nowhere",
    ],
    "admin": [
        "/admin",
        "/admin?edit=harbour",
        "/admin/activity",
        "/admin/activity?person=nobody",
        "/admin/teams/harbour",
    ],
}
SETTINGS = {
    "member": [f"/apps/shop/settings/{section.name}" for section in SECTIONS[2:]]
    + ["/docs", "/docs/git", "/docs/architecture", "/docs/api"]
}


@pytest.mark.slow
@pytest.mark.parametrize("pages", [PAGES, SETTINGS], ids=["pages", "settings"])
@pytest.mark.parametrize(
    ("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")]
)
def test_every_page_is_accessible_light_and_fits(
    browse: Callable[..., BrowserContext], width: int, scheme: str, pages: dict[str, list[str]]
) -> None:
    findings: list[str] = []
    for person, paths in pages.items():
        page = browse(person, width=width, scheme=scheme).new_page()
        complaints = complaints_of(page)
        for path in paths:
            findings += [
                f"{path}: {finding}" for finding in (*look(page, address(path)), *complaints)
            ]
            complaints.clear()
    assert findings == []


def complaints_of(page: Page) -> list[str]:
    """Return a list that collects the page's console errors from now on."""
    complaints: list[str] = []
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            if message.type == "error" and "404 (" not in message.text
            else None
        ),
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


def look(page: Page, path: str) -> list[str]:
    """Return the problems of a page as text."""
    page.goto(path)
    page.wait_for_function("document.fonts.status === 'loaded'")
    findings: list[str] = []
    weight = page.evaluate(
        "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation')).reduce((sum,"
        " entry) => sum + (entry.encodedBodySize || 0), 0)"
    )
    if weight > MOST_BYTES:
        findings.append(f"weighs {weight} bytes")
    if (
        over := page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
    ) > 0:
        findings.append(f"sticks out by {over} px")
    page.evaluate(AXE)
    violations = page.evaluate(VIOLATIONS, RULES)
    return findings + [f"{found['id']}: {found['nodes'][0]['html'][:120]}" for found in violations]


def address(path: str) -> str:
    """Return the path with the build's or volume's number from the database."""
    if path.startswith("/"):
        return path
    if path.startswith("VOLUME "):
        return f"/volumes/{Volume.objects.get(name=path.removeprefix('VOLUME ')).pk}"
    state, mark, query = path.partition("?")
    build = Build.objects.select_related("app").get(state=state.lower())
    return f"/apps/{build.app.name}/builds/{build.pk}{mark}{query}"
