"""Views of the documentation: the list of pages, a page, and its pictures."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.http import FileResponse, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.errors import NotFound
from portal.pages import breadcrumbs
from portal.pages.breadcrumbs import Crumb
from portal.pages.docs.rendering import Document, render_document

# The pages by subject, in the order of the list. A page that is missing here is listed last.
_SUBJECTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "Deploy",
        ("cli", "git", "builders", "manifest", "dockerfile", "registry", "images", "stacks"),
    ),
    ("Run", ("stacks", "rollouts", "autoscale", "domains", "metrics", "codes")),
    ("Operate", ("operations", "architecture", "security", "access", "network", "router")),
)
_PICTURES = {".svg": "image/svg+xml", ".png": "image/png"}


@signed_in
def index(request: SignedInRequest) -> HttpResponse:
    """List all pages with their first paragraph."""
    placed = {name for _, names in _SUBJECTS for name in names}
    others = tuple(sorted(path.stem for path in _folder().glob("*.md") if path.stem not in placed))
    context = {
        "subjects": [
            (subject, [(name, _document(name)) for name in names if _path(name).is_file()])
            for subject, names in (*_SUBJECTS, ("More", others))
        ],
        "crumbs": breadcrumbs.of_page("Docs"),
    }
    return render(request, "docs/index.html", context)


@signed_in
def page(request: SignedInRequest, name: str) -> HttpResponse:
    """Show a page."""
    if not _path(name).is_file():
        raise NotFound(f"The documentation has no page {name}.", hint="All pages are at /docs.")
    document = _document(name)
    crumbs = (Crumb(name="Docs", url=reverse("docs")), Crumb(name=document.title))
    return render(request, "docs/page.html", {"document": document, "crumbs": crumbs})


@signed_in
def picture(_: SignedInRequest, name: str) -> FileResponse:
    """Send a picture of the documentation."""
    path = _folder() / "images" / name
    kind = _PICTURES.get(path.suffix)
    if "/" in name or kind is None or not path.is_file():
        raise NotFound(f"The documentation has no picture {name}.")
    return FileResponse(path.open("rb"), content_type=kind)


@lru_cache(maxsize=64)
def _document(name: str) -> Document:
    return render_document(_path(name))


def _path(name: str) -> Path:
    return _folder() / f"{name}.md"


def _folder() -> Path:
    return Path(settings.ROOT) / "docs"
