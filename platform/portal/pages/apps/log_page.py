"""The log page of an app: a search over all kept lines, and the download of what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast
from urllib.parse import urlencode

from django.http import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from portal.accounts.signed_in import SignedInRequest, signed_in
from portal.apps import logs as app_logs
from portal.apps.access import app_for, instances_of
from portal.apps.health import current_check
from portal.apps.models import App
from portal.errors import NotFound
from portal.http.file_responses import log_response, text_response
from portal.logs.lines import LogPiece
from portal.logs.query import Level, LogQuery, matching_lines, search
from portal.pages import breadcrumbs

SHOWN_LINES = 300
RANGES = {
    "15m": ("15 minutes", timedelta(minutes=15)),
    "1h": ("hour", timedelta(hours=1)),
    "6h": ("6 hours", timedelta(hours=6)),
    "24h": ("24 hours", timedelta(days=1)),
    "7d": ("7 days", timedelta(days=7)),
}
_OF_PLATFORM = ("router", "slipway")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """The filter in the URL. Unknown values mean "all"."""

    q: str
    level: Level
    source: str
    instance: str
    range: str
    until: str  # as in a datetime-local field, in UTC
    checks: bool  # show the requests of the health check

    @classmethod
    def of(cls, values: Mapping[str, str]) -> LogFilter:
        level = values.get("level", "")
        return cls(
            q=values.get("q", "").strip()[:200],
            level=cast(Level, level if level in ("error", "warning") else ""),
            source=values.get("source", "")[:80],
            instance=values.get("instance", "")[:80],
            range=values.get("range", "") if values.get("range", "") in RANGES else "",
            until=values.get("until", "") if _moment(values.get("until", "")) else "",
            checks=values.get("checks") == "show",
        )

    @property
    def query(self) -> str:
        """Return it as a query string."""
        values = {
            "q": self.q,
            "level": self.level,
            "source": self.source,
            "instance": self.instance,
            "range": self.range,
            "until": self.until,
            "checks": "show" if self.checks else "",
        }
        return urlencode({name: value for name, value in values.items() if value})

    @property
    def words(self) -> str:
        """Describe it in words, after "No line"."""
        parts = (
            f"with “{self.q}”" if self.q else "",
            {"error": "that reports an error", "warning": "that warns or reports an error"}.get(
                self.level, ""
            ),
            f"from {self.instance or self.source}" if self.instance or self.source else "",
            f"of the last {RANGES[self.range][0]}" if self.range else "",
            f"before {self.until.replace('T', ' ')} UTC" if self.until else "",
        )
        return " ".join(part for part in parts if part)

    def query_of(self, app: App, now: datetime | None = None) -> LogQuery:
        """Return it for the lines of an app."""
        end = _moment(self.until)
        since = (end or now or timezone.now()) - RANGES[self.range][1] if self.range else None
        check = current_check(app).check
        return LogQuery(
            text=self.q,
            level=self.level,
            source=self.source,
            instance=self.instance,
            since=since,
            until=end,
            checks_of=None if self.checks else check.path or "/",
        )


@signed_in
def logs(request: SignedInRequest, name: str) -> HttpResponseBase:
    """Show the newest matching lines. New ones follow, unless the filter has an end."""
    app = app_for(request.user, name)
    wanted = LogFilter.of(request.GET.dict())
    path = app_logs.path_of(app)
    # read before the search: lines that are written meanwhile follow
    newest = app_logs.tail(path, 1)
    found = search(path, wanted.query_of(app), SHOWN_LINES)
    instances = list(instances_of(app))
    first = found.lines[0].at if found.lines else None
    last = found.lines[-1].at if found.lines else None
    context = {
        "app": app,
        "tail": LogPiece(lines=found.lines, has_days=True),
        "place": newest[-1].id if newest else "",
        "day": f"{last:%Y-%m-%d}" if last is not None else "",
        "filter": wanted,
        "older": f"{first:%Y-%m-%dT%H:%M:%S.%f}"[:23]
        if found.has_older and first is not None
        else "",
        "is_empty": not newest,
        "sources": [*sorted({instance.process for instance in instances}), *_OF_PLATFORM],
        "ranges": [(key, words) for key, (words, _) in RANGES.items()],
        "crumbs": breadcrumbs.of_app(app, "Logs"),
        "tab": "logs",
    }
    return render(request, "apps/logs.html", context)


@signed_in
def log_file(request: SignedInRequest, name: str) -> HttpResponseBase:
    """Download the current log file, or all kept lines that match the filter, as text."""
    app = app_for(request.user, name)
    path = app_logs.path_of(app)
    if not path.exists():
        raise NotFound(f"{app.name} has no log lines yet.")
    wanted = LogFilter.of(request.GET.dict())
    if not wanted.query:
        return log_response(path, filename=f"{app.name}.log")
    lines = list(matching_lines(path, wanted.query_of(app)))
    texts = (
        f"{'' if line.at is None else line.at.isoformat(timespec='milliseconds')} {line.source}"
        f" {line.stream} {line.text}".strip()
        for line in reversed(lines)
    )
    return text_response(texts, filename=f"{app.name}.log")


def _moment(text: str) -> datetime | None:
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=UTC)
