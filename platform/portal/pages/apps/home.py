"""The home page: apps that failed first, then all apps by team, with search, filters and pages."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.http import HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from portal.accounts.access import teams_of
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.deploys.app_list import AppList, LastDeploy, ListedApp, app_list_of, last_deploys_of
from portal.deploys.app_status import Word
from portal.metrics.series import RequestActivity, request_activity_of
from portal.pages.apps.forms import AppForm
from portal.pages.apps.new_views import new_app_context

ON_A_PAGE = 40
FAILURES_SHOWN = 5
_WORDS: tuple[Word, ...] = ("live", "changing", "failed", "asleep", "stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLine:
    """An app in the list. `begins_team`: the app is the first of its team on the page."""

    app: ListedApp
    last: LastDeploy
    pulse: RequestActivity | None
    begins_team: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The filter in the URL: a part of the name, a state or "attention", and a team."""

    search: str
    state: str
    team: str

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filter:
        return cls(
            search=query.get("q", "").strip().lower(),
            state=query.get("state", ""),
            team=query.get("team", ""),
        )

    @property
    def is_set(self) -> bool:
        return bool(self.search or self.state or self.team)

    def matches_name(self, app: ListedApp) -> bool:
        """Return True if the search and the team match."""
        return self.search in app.name and (not self.team or app.team == self.team)

    def matches_state(self, app: ListedApp) -> bool:
        return (
            not self.state
            or app.word == self.state
            or (self.state == "attention" and app.has_failed)
        )


@signed_in
def home(request: SignedInRequest) -> HttpResponse:
    """Show the apps. Without apps, show the ways to deploy. htmx asks again for the list only."""
    found = app_list_of(request.user)
    if not found.apps:
        return _first(request)
    wanted = Filter.of(request.GET.dict())
    context = _context(found, wanted, request.GET.get("page", ""))
    html = render_to_string("apps/fragments/app_list.html", context)
    seen = hashlib.sha256(html.encode()).hexdigest()[:16]
    context |= {"list": html, "seen": seen, "teams": found.teams}
    if "HX-Request" not in request.headers:
        return render(request, "apps/home.html", context)
    if request.GET.get("seen") == seen:
        return HttpResponse(status=204)  # htmx changes nothing
    return render(request, "apps/fragments/polled_list.html", context)


def _context(found: AppList, wanted: Filter, page: str) -> dict[str, object]:
    named = [app for app in found.apps if wanted.matches_name(app)]
    counts = Counter(app.word for app in named)
    shown = Paginator([app for app in named if wanted.matches_state(app)], ON_A_PAGE).get_page(page)
    failed = [app for app in found.apps if app.has_failed]
    attention = [] if wanted.is_set or shown.number > 1 else failed[:FAILURES_SHOWN]
    lasts = last_deploys_of([*shown, *(app for app in attention if app not in shown.object_list)])
    return {
        "filter": wanted,
        "page": shown,
        "lines": _lines(shown, lasts),
        "has_teams": len(found.teams) > 1,
        "attention": [(app, lasts[app.id]) for app in attention],
        "more_failures": len(failed) - len(attention) if attention else 0,
        "total": len(named),
        "chips": [
            ("", len(named)),
            ("attention", sum(app.has_failed for app in named)),
            *((word, counts[word]) for word in _WORDS),
        ],
        "query": urlencode({"q": wanted.search, "state": wanted.state, "team": wanted.team}),
    }


def _lines(apps: Page[ListedApp], lasts: Mapping[int, LastDeploy]) -> list[AppLine]:
    pulses = request_activity_of(app.handle for app in apps)
    before = ("", *(app.team for app in apps))
    return [
        AppLine(
            app=app,
            begins_team=team != app.team,
            last=lasts[app.id],
            pulse=pulses.get(app.handle),
        )
        for app, team in zip(apps, before, strict=False)
    ]


def _first(request: SignedInRequest) -> HttpResponse:
    teams = list(teams_of(request.user))
    context = {**new_app_context(request.user, teams, AppForm(teams)), "crumbs": ()}
    return render(request, "apps/first.html", context)
