"""Tests of the docs: every link leads to a file or heading, and every dependency is described."""

import json
import re
import tomllib

import pytest

from tests.architecture.tree import ROOT, tracked

LINK = re.compile(
    r"!?\[[^\]]*\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"|<source[^>]+srcset=\"([^\"]+)\""
)
PAGES = tracked("*.md")


def anchors(text: str) -> set[str]:
    """Return the anchors of all headings, as GitHub makes them: lower case, hyphens for spaces, no
    other signs.
    """
    headings = re.findall(r"^#+\s+(.*)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_page_has_a_target(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for match in LINK.finditer(text):
        link = next(group for group in match.groups() if group)
        if re.match(r"[a-z]+:", link):
            continue  # the web: a test does not look it up
        place, _, anchor = link.partition("#")
        target = (page.parent / place) if place else page
        assert target.exists(), f"{page.relative_to(ROOT)} links to {link}, which is not there"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target.read_text()), (
                f"{page.relative_to(ROOT)} links to {link}, but no heading is called that"
            )


def names_of_lock() -> set[str]:
    return set(
        re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    )


def direct() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    package = json.loads((ROOT / "package.json").read_text())
    return {re.split(r"[\[<>=~! ]", line)[0].lower() for line in wanted} | {
        *package.get("dependencies", {}),
        *package.get("devDependencies", {}),
    }


def test_every_dependency_is_described():
    described = set(
        re.findall(
            r"^- `?([@\w./-]+)`?:", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE
        )
    )
    assert direct() <= {name.lower() for name in described}, (
        f"missing: {sorted(direct() - {name.lower() for name in described})}"
    )


def test_the_dependency_page_names_every_pinned_package():
    text = (ROOT / "docs/dependencies.md").read_text().lower()
    missing = [
        name
        for name in sorted(names_of_lock())
        if not re.search(rf"(?<![\w-]){re.escape(name.lower())}(?![\w-])", text)
    ]
    assert not missing, f"docs/dependencies.md does not name {', '.join(missing)}"
