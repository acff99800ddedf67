"""Render a Markdown page of docs/ as HTML. Links between the pages lead to the portal's pages."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

# HTML in a page would be escaped: the pages of docs/ are Markdown only.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")
_WEB = re.compile(r"[a-z]+:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading of the second level, with its anchor."""

    text: str
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A rendered page. `title` is its first heading, `lead` the text of its first paragraph."""

    title: str
    lead: str
    html: SafeString
    headings: Sequence[Heading]


def render_document(path: Path) -> Document:
    """Render a file. Raise FileNotFoundError if it does not exist."""
    tokens = _MARKDOWN.parse(path.read_text())
    headings = list(_with_anchors(tokens))
    for token in tokens:
        for child in token.children or ():
            _set_link(child)
    html = str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {}))
    html = html.replace("<table>", '<div class="doc-table" tabindex="0"><table>').replace(
        "</table>", "</table></div>"
    )
    return Document(
        title=next((text for level, text, _ in headings if level == "h1"), path.stem),
        lead=_text(_after(tokens, "paragraph_open")),
        html=mark_safe(html.replace("<pre>", '<pre tabindex="0">')),  # noqa: S308  # the renderer has escaped it
        headings=[
            Heading(text=text, anchor=anchor) for level, text, anchor in headings if level == "h2"
        ],
    )


def anchor_of(heading: str) -> str:
    """Return the anchor of a heading as GitHub makes it: lower case, hyphens for spaces."""
    return _NOT_IN_ANCHORS.sub("", heading.strip().lower()).replace(" ", "-")


def _with_anchors(tokens: Sequence[Token]) -> Iterator[tuple[str, str, str]]:
    """Set the id of each heading. Yield its tag, its text and its anchor."""
    for opening, inline in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            text = _text(inline)
            opening.attrSet("id", anchor_of(text))
            yield opening.tag, text, anchor_of(text)


def _set_link(token: Token) -> None:
    """Point a link to the portal's page of a document. A link to a file of the repository has no
    target here, so it becomes text."""
    if token.type == "image":
        name = str(token.attrGet("src")).rpartition("/")[2]
        token.attrSet("src", reverse("docs-picture", args=[name]))
        return
    if token.type != "link_open":
        return
    target = str(token.attrGet("href"))
    place, _, anchor = target.partition("#")
    page, _, suffix = place.rpartition(".")
    if _WEB.match(target) or not place:
        token.attrSet("class", "link")
    elif suffix == "md" and "/" not in page:
        token.attrSet("href", reverse("docs-page", args=[page]) + (f"#{anchor}" if anchor else ""))
        token.attrSet("class", "link")
    else:
        token.attrs.clear()


def _after(tokens: Sequence[Token], kind: str) -> Token | None:
    return next(
        (
            inline
            for opening, inline in itertools.pairwise(tokens)
            if opening.type == kind
            and not any(child.type == "image" for child in inline.children or ())
        ),
        None,
    )


def _text(inline: Token | None) -> str:
    """Return the text of a heading or paragraph, without its markup."""
    children = (inline.children if inline else None) or ()
    return "".join(
        " " if child.type == "softbreak" else child.content
        for child in children
        if child.type in ("text", "code_inline", "softbreak")
    )
