"""The time range and the part of an app that the address of a metrics page selects."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from django import forms
from django.utils.datastructures import MultiValueDict

from portal.errors import NotFound
from portal.metrics.parts import is_instance, process_of
from portal.metrics.time_range import LONGEST, Span, TimeRange


class RangeForm(forms.Form):
    """Input for a custom range. The times are in UTC. Without an end, the range ends now."""

    begin = forms.DateTimeField(
        label="From (UTC)",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "any"}),
        error_messages={
            "invalid": "This is not a time. Use for example 2026-11-29 10:00.",
            "required": "Enter the time at which the charts begin.",
        },
    )
    end = forms.DateTimeField(
        label="To (UTC)",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "any"}),
        error_messages={"invalid": "This is not a time. Use for example 2026-11-29 10:00."},
    )

    def __init__(self, data: Mapping[str, str] | None = None, *, now: float) -> None:
        super().__init__(
            None if data is None else MultiValueDict({k: [v] for k, v in data.items()})
        )
        self._now = now

    def clean_begin(self) -> datetime:
        begin: datetime = self.cleaned_data["begin"]
        if begin.timestamp() >= self._now:
            raise forms.ValidationError("This time is in the future.")
        if begin.timestamp() < self._now - LONGEST - 86400:
            raise forms.ValidationError("Data are kept for 30 days. Choose a later time.")
        return begin

    def clean(self) -> dict[str, object]:
        begin, end = self.cleaned_data.get("begin"), self.cleaned_data.get("end")
        if begin is not None and end is not None and end <= begin:
            self.add_error("end", "The end must be after the beginning.")
        return self.cleaned_data

    def shown(self) -> TimeRange:
        """Return the range of a valid form. An end in the future means now."""
        end = self.cleaned_data["end"]
        return TimeRange(
            begin=self.cleaned_data["begin"].timestamp(),
            end=self._now if end is None else min(end.timestamp(), self._now),
            now=self._now,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The selection of a metrics page. `span` is None for a custom range.

    `part` is a process type such as `web`, an instance such as `web.1a2b3c4d`, or empty for the
    whole app.
    """

    span: Span | None
    shown: TimeRange
    part: str
    form: RangeForm

    @property
    def process(self) -> str:
        """Return the process type of the part, or an empty text for the whole app."""
        return process_of(self.part) if is_instance(self.part) else self.part

    @property
    def query(self) -> str:
        """Return it as a query string."""
        values = {"span": self.span or "", "part": self.part}
        if self.span is None:
            values |= {"from": _text(self.shown.begin), "to": _text(self.shown.end)}
        return urlencode({name: value for name, value in values.items() if value})

    @property
    def begin(self) -> datetime:
        return datetime.fromtimestamp(self.shown.begin, UTC)

    @property
    def end(self) -> datetime:
        return datetime.fromtimestamp(self.shown.end, UTC)

    def at(self, now: float) -> Wanted:
        """Return it for a later moment. A custom range does not move."""
        return self if self.span is None else replace(self, shown=self.span.until(now))


def wanted_of(values: Mapping[str, str], *, now: float | None = None) -> Wanted:
    """Return the choice of `?span=24h`, or `?from=&to=`, and `&part=web`.

    Raise NotFound for an unknown span. With an invalid custom range, the form has the errors and
    the last hour is shown.
    """
    now = time.time() if now is None else now
    part = values.get("part", "")[:80]
    if "from" in values or "to" in values:
        form = RangeForm({"begin": values.get("from", ""), "end": values.get("to", "")}, now=now)
        if form.is_valid():
            return Wanted(span=None, shown=form.shown(), part=part, form=form)
        return Wanted(span=Span.HOUR, shown=Span.HOUR.until(now), part=part, form=form)
    text = values.get("span", Span.HOUR)
    if text not in list(Span):
        raise NotFound(
            f"There are no charts for the range {text}.", hint=f"Use one of {', '.join(Span)}."
        )
    span = Span(text)
    return Wanted(span=span, shown=span.until(now), part=part, form=RangeForm(now=now))


def _text(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%S}"
