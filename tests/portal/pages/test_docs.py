"""The documentation inside the portal, and the sidebar that leads to it."""

from pathlib import Path

from django.test import Client

from portal.pages.docs.rendering import render_document


def test_every_page_of_the_docs_is_listed_and_opens(member: Client) -> None:
    index = member.get("/docs").content.decode()
    for path in Path("docs").glob("*.md"):
        assert f'href="/docs/{path.stem}"' in index
        assert member.get(f"/docs/{path.stem}").status_code == 200
    assert member.get("/docs/nothing").status_code == 404
    assert member.get("/docs/pictures/architecture.svg")["Content-Type"] == "image/svg+xml"
    assert member.get("/docs/pictures/git.md").status_code == 404


def test_links_between_documents_stay_in_the_portal_and_html_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "# The `title`\n\nThe lead.\n\n## A part: two\n\n[git](git.md#the-branch-that-deploys)"
        " [here](#a-part-two) [code](../tests/x.py) <script>alert(1)</script>\n\n"
        "![p](images/architecture.svg)\n"
    )
    document = render_document(path)
    assert (document.title, document.lead) == ("The title", "The lead.")
    assert [heading.anchor for heading in document.headings] == ["a-part-two"]
    assert 'href="/docs/git#the-branch-that-deploys"' in document.html
    assert 'id="a-part-two"' in document.html
    assert "../tests" not in document.html
    assert "<script>" not in document.html
    assert 'src="/docs/pictures/architecture.svg"' in document.html


def test_the_reference_lists_each_operation_of_the_api_with_its_fields(member: Client) -> None:
    page = member.get("/docs/api").content.decode()
    document = member.get("/api/openapi.json").json()
    for path in document["paths"]:
        assert f">{path}</code>" in page
    assert "<code>archive</code>" in page


def test_the_cookie_of_opened_apps_shows_only_apps_of_the_person(
    member: Client, admin: Client
) -> None:
    member.get("/apps/chat")
    member.get("/apps/shop")
    assert member.cookies["recent-apps"].value == "shop.chat"
    member.get("/apps/nothing")
    assert member.cookies["recent-apps"].value == "shop.chat"
    member.cookies["recent-apps"] = "ticker.shop"
    names = member.get("/find/apps").content.decode()
    assert "ticker" not in names
    assert names.index("shop") < names.index("chat")
