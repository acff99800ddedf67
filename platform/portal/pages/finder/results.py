"""The results of the finder: apps with their pages, pages of the portal, codes and requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Q
from django.urls import reverse

from portal.accounts.models import Person
from portal.apps.access import apps_of
from portal.apps.models import App
from runtime.contract.code_meanings import by_subject

MOST_APPS = 8
MOST_CODES = 6
_REQUEST = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{4,27}")
_PAGES_OF_APP = (
    ("Deploys", "deploys"),
    ("Logs", "app-logs"),
    ("Metrics", "app-metrics"),
    ("Traffic", "app-traffic"),
    ("Settings", "app-settings"),
)
_PAGES = (
    ("Apps", "home", "list overview"),
    ("New app", "new-app", "create deploy upload"),
    ("Images", "images", "layers disk"),
    ("New team", "new-team", "create people"),
    ("Account and tokens", "account", "password key api"),
    ("Codes", "codes", "errors router"),
)
_ADMIN_PAGES = (("Admin", "admin", "teams quotas people node"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line: a link, and a word that says what it is."""

    label: str
    url: str
    kind: str


def find(person: Person, text: str) -> list[Result]:
    """Return the results for a text, the best first. Without a text: apps and pages.

    Each word must be in the result, so "shop logs" is the page of logs of the app shop.
    """
    words = text.lower().split()
    if len(words) == 1 and _REQUEST.fullmatch(words[0]):
        url = reverse("request", args=[words[0]])
        return [Result(label=f"Request {words[0]}", url=url, kind="Request")]
    return [*_apps(person, words), *_pages(person, words), *_codes(words)]


def _apps(person: Person, words: Sequence[str]) -> Iterator[Result]:
    named = Q()
    for word in words:
        named |= Q(name__contains=word)
    apps = list(apps_of(person).filter(named).order_by("name")[:MOST_APPS])
    for app in apps:
        others = [word for word in words if word not in app.name]
        if not others:
            yield _of_app(app, "", "app")
        if others or len(apps) == 1:
            for label, name in _PAGES_OF_APP:
                if _has_all(label, others):
                    yield _of_app(app, label, name)


def _of_app(app: App, label: str, name: str) -> Result:
    return Result(
        label=f"{app.name} · {label}" if label else app.name,
        url=reverse(name, args=[app.name]),
        kind="App",
    )


def _pages(person: Person, words: Sequence[str]) -> Iterator[Result]:
    for label, name, meaning in (*_PAGES, *(_ADMIN_PAGES if person.is_staff else ())):
        if _has_all(f"{label} {meaning}", words):
            yield Result(label=label, url=reverse(name), kind="Page")


def _codes(words: Sequence[str]) -> Iterator[Result]:
    if not words:
        return
    found = [
        Result(
            label=f"{what.code} {what.title}", url=reverse("code", args=[what.code]), kind="Code"
        )
        for _, codes in by_subject()
        for what in codes
        if _has_all(f"{what.code} {what.name} {what.title}", words)
    ]
    yield from found[:MOST_CODES]


def _has_all(text: str, words: Sequence[str]) -> bool:
    return all(word in text.lower() for word in words)
