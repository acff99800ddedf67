"""The activity of all teams: a filtered list, and the same as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone

from portal.accounts.access import require_admin
from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.activity.access import audit_for
from portal.activity.models import AuditEntry
from portal.pages.breadcrumbs import Crumb

ON_A_PAGE = 50
MOST_ROWS = 20_000  # of the export, the newest
RANGES = {"24h": ("24 hours", 1), "7d": ("7 days", 7), "30d": ("30 days", 30)}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would calculate such a cell


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityFilter:
    """The filter in the URL. Unknown values mean "all". `before` is the id of an entry."""

    q: str
    person: str
    team: str
    app: str
    range: str
    before: int

    @classmethod
    def of(cls, values: Mapping[str, str]) -> ActivityFilter:
        texts = {
            name: values.get(name, "").strip()[:200] for name in ("q", "person", "team", "app")
        }
        before = values.get("before", "")
        return cls(
            **texts,
            range=values.get("range", "") if values.get("range", "") in RANGES else "",
            before=int(before)
            if before.isascii() and before.isdecimal() and len(before) < 19
            else 0,
        )

    @property
    def query(self) -> str:
        """Return it as a query string, without the position in the list."""
        values = {name: getattr(self, name) for name in ("q", "person", "team", "app", "range")}
        return urlencode({name: value for name, value in values.items() if value})

    def of_entries(self, entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        """Return the entries that match, newest first."""
        wanted = {
            "text__icontains": self.q,
            "person__username": self.person,
            "team__name": self.team,
            "app_name": self.app,
        }
        entries = entries.filter(**{name: value for name, value in wanted.items() if value})
        if self.range:
            entries = entries.filter(at__gte=timezone.now() - timedelta(days=RANGES[self.range][1]))
        if self.before:
            entries = entries.filter(pk__lt=self.before)
        return entries.order_by("-pk")


@signed_in
def activity(request: SignedInRequest) -> HttpResponse:
    """Show the entries that match, newest first."""
    require_admin(request.user)
    wanted = ActivityFilter.of(request.GET.dict())
    found = list(wanted.of_entries(audit_for(request.user))[: ON_A_PAGE + 1])
    context = {
        "filter": wanted,
        "entries": found[:ON_A_PAGE],
        "older": found[ON_A_PAGE - 1].pk if len(found) > ON_A_PAGE else None,
        "ranges": [(key, words) for key, (words, _) in RANGES.items()],
        "crumbs": (Crumb(name="Admin", url="/admin"), Crumb(name="Activity")),
    }
    return render(request, "quotas/activity.html", context)


@signed_in
def activity_csv(request: SignedInRequest) -> HttpResponse:
    """Download the entries that match as CSV (RFC 4180), newest first."""
    require_admin(request.user)
    wanted = ActivityFilter.of(request.GET.dict())
    rows = wanted.of_entries(audit_for(request.user)).values_list(
        "at", "person__username", "team__name", "app_name", "text"
    )
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(("time", "person", "team", "app", "activity"))
    for at, person, team, app, text in rows[:MOST_ROWS]:
        cells = (person or "Slipway", team or "", app, text)
        writer.writerow((at.isoformat(timespec="seconds"), *map(_cell, cells)))
    headers = {"Content-Disposition": 'attachment; filename="activity.csv"'}
    return HttpResponse(file.getvalue(), content_type="text/csv; charset=utf-8", headers=headers)


def _cell(text: str) -> str:
    """Return the text of a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
