"""Collect what happened around one request, by its id: its access log line, the app's log lines and
the running release."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal.accounts.models import Person
from portal.apps.access import app_for, apps_of
from portal.apps.logs import path_of
from portal.apps.models import App, Instance
from portal.errors import NotFound
from portal.logs.logfile import LogLine
from portal.logs.search import SearchResult, find
from portal.releases.models import Rollout, RolloutState
from runtime.contract.code_meanings import Meaning, meaning_of

_ID = re.compile(r"[0-9a-fA-F-]{8,64}")
_LINE = re.compile(
    r"(?P<method>\S+) (?P<path>.*) (?P<status>\d{3}|-) (?:code=(?P<code>\S+) \S+"
    r" )?(?P<rest>took=.*)"
)
_BEFORE, _AFTER = timedelta(seconds=30), timedelta(seconds=10)
_MOST_BEFORE, _MOST_AFTER = 30, 12  # lines
# the longest time between the request and an exit or kill that is shown
_NOTED = timedelta(minutes=10)
_MOST_NOTED = 20
_FRESH = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One request and its context."""

    id: str
    app: App
    at: datetime  # when it ended
    method: str
    path: str
    status: str  # "-" if there was no response
    took: timedelta
    queued: timedelta
    sent: int
    client: str
    meaning: Meaning | None  # of the code; None if the app itself answered
    instance_name: str  # empty if no instance received it
    instance: Instance | None  # the current state; None after the row was deleted
    rollout: Rollout | None  # of the release that was live at that time
    lines: Sequence[tuple[LogLine, bool]]  # each with True if it names this request
    # events of the platform about the app at that time: exits, kills, restarts
    noted: Sequence[LogLine]

    @property
    def is_fresh(self) -> bool:
        """Return True if the release had become live shortly before."""
        return (
            self.rollout is not None
            and self.rollout.finished_at is not None
            and self.at - self.rollout.finished_at < _FRESH
        )


def trace_of(person: Person, request_id: str, *, app_name: str = "") -> Trace:
    """Return the trace of a request to one of the person's apps. Raise NotFound otherwise.

    `app_name` makes the search faster, because only that app is searched.
    """
    if _ID.fullmatch(request_id):
        apps: Iterable[App] = [app_for(person, app_name)] if app_name else _apps(person)
        for app in apps:
            found = find(path_of(app), f"request_id={request_id}")
            if found is not None and (trace := _trace(app, request_id, found)) is not None:
                return trace
    raise NotFound(
        f"Request {request_id} is not in the logs of your apps.",
        hint=(
            "Its log line appears a moment after the request has ended. It is deleted when the"
            " app's log reaches its size limit. A request that reached no app is not in the log of"
            " an app."
        ),
    )


def _apps(person: Person) -> Iterable[App]:
    if person.is_staff:
        return App.objects.filter(deleted_at=None).select_related("team").order_by("name")
    return apps_of(person)


def _trace(app: App, request_id: str, found: SearchResult) -> Trace | None:
    """Return the trace, or None if the line is not from the router: an app may print anything."""
    at, match = found.line.at, _LINE.fullmatch(found.line.text)
    if found.line.source != "router" or at is None or match is None:
        return None
    facts = dict(word.split("=", 1) for word in match["rest"].split() if "=" in word)
    name = facts.get("instance", "-").removeprefix("-")
    return Trace(
        id=request_id,
        app=app,
        at=at,
        method=match["method"],
        path=match["path"],
        status=match["status"],
        took=_milliseconds(facts.get("took", "")),
        queued=_milliseconds(facts.get("queued", "")),
        sent=int(facts.get("sent", 0)),
        client=facts.get("client", ""),
        meaning=meaning_of(match["code"] or ""),
        instance_name=name,
        instance=Instance.objects.filter(app=app, pk=name).first() if name else None,
        rollout=_live_at(app, at),
        lines=_lines(found, at, request_id),
        noted=_noted(found, at),
    )


def _live_at(app: App, at: datetime) -> Rollout | None:
    rollouts = Rollout.objects.filter(
        release__app=app, state=RolloutState.LIVE, finished_at__lte=at
    )
    return rollouts.select_related("release", "release__build").order_by("-finished_at").first()


def _lines(found: SearchResult, at: datetime, request_id: str) -> list[tuple[LogLine, bool]]:
    before = [line for line in found.before if line.at is None or line.at >= at - _BEFORE][
        -_MOST_BEFORE:
    ]
    after = [line for line in found.after if line.at is None or line.at <= at + _AFTER][
        :_MOST_AFTER
    ]
    return [(line, request_id in line.text) for line in (*before, found.line, *after)]


def _noted(found: SearchResult, at: datetime) -> list[LogLine]:
    lines = [
        line
        for line in (*found.before, *found.after)
        if line.source == "slipway" and line.at is not None
    ]
    return [line for line in lines if line.at is not None and abs(line.at - at) <= _NOTED][
        -_MOST_NOTED:
    ]


def _milliseconds(text: str) -> timedelta:
    digits = text.removesuffix("ms")
    return timedelta(milliseconds=int(digits)) if digits.isdecimal() else timedelta()
