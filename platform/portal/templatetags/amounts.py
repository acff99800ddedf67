"""Format amounts for pages: bytes in binary units, CPU in cores, relative times, durations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from runtime.contract.quantities import Bytes

register = template.Library()

_SPANS = ((365 * 86400, "y"), (30 * 86400, "mo"), (86400, "d"), (3600, "h"), (60, "min"))


@register.filter
def size(amount: float | None) -> str:
    """Format bytes: 1536 -> "1.5 KiB". One decimal, unless it would be zero."""
    return "–" if amount is None else str(Bytes(amount))


@register.filter
def cores(millicores: int | None) -> str:
    """Format CPU: 500 -> "0.5 CPU"."""
    return "–" if millicores is None else f"{millicores / 1000:.4g} CPU"


@register.filter
def per_second(rate: float) -> str:
    """Format a rate: 38.2 -> "38 requests/s". One or two decimals below ten."""
    digits = 0 if rate >= 10 else 1 if rate >= 1 else 2
    return f"{rate:.{digits}f} requests/s" if rate else "no requests"


@register.filter
def short_number(number: int) -> str:
    """Format a count: 950 -> "950", 12300 -> "12.3k", 4200000 -> "4.2M"."""
    for unit, least, divisor in (("M", 1_000_000, 1_000_000), ("k", 10_000, 1000)):
        if number >= least:
            return f"{number / divisor:.1f}".removesuffix(".0") + unit
    return f"{number}"


@register.filter
def milliseconds(amount: float | None) -> str:
    """Format milliseconds: 41.3 -> "41 ms", 2300 -> "2.3 s"."""
    if amount is None:
        return "–"
    return f"{amount:.0f} ms" if amount < 1000 else f"{amount / 1000:.1f} s"


@register.filter
def short_digest(digest: str) -> str:
    """Return the first twelve hex digits, without the algorithm."""
    return digest.rpartition(":")[2][:12]


@register.filter
def unix_time(seconds: float) -> datetime:
    """Return the moment of a Unix time."""
    return datetime.fromtimestamp(seconds, UTC)


@register.filter
def ago(moment: datetime | None) -> SafeString | str:
    """Return a <time> element such as "3 min ago". It shows the absolute time on hover; times.js
    updates it."""
    if moment is None:
        return "never"
    return _relative(moment, "ago")


@register.filter
def since(moment: datetime | None) -> SafeString | str:
    """Return a <time> element such as "3 min": the time since the moment."""
    if moment is None:
        return "–"
    return _relative(moment, "span")


_WHEN = {"day": "%-d %b %Y", "minute": "%-d %b %Y, %H:%M UTC", "second": "%-d %b %Y, %H:%M:%S UTC"}


@register.filter
def when(moment: datetime | None, precision: str = "minute") -> SafeString | str:
    """Return a <time> element in UTC, such as "4 Nov 2026, 10:20 UTC". times.js shows it in the
    browser's time zone. `precision` is day, minute or second."""
    if moment is None:
        return "–"
    return format_html(
        '<time datetime="{}" data-local="{}">{}</time>',
        moment.isoformat(),
        precision,
        moment.astimezone(UTC).strftime(_WHEN[precision]),
    )


@register.filter
def took(span: timedelta | None) -> str:
    """Format a duration: "850 ms", "4.2 s", "1 min 20 s", "2 h 5 min"."""
    if span is None:
        return ""
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


@register.filter
def percent_of(part: float, whole: float) -> float:
    """Return a percentage: 50|percent_of:200 -> 25.0. If the limit is zero, any use is 100."""
    if whole:
        return min(100.0, 100 * part / whole)
    return 100.0 if part else 0.0


def _relative(moment: datetime, kind: str) -> SafeString:
    words = _words((timezone.now() - moment).total_seconds(), kind)
    absolute = f"{moment.astimezone(timezone.get_current_timezone()):%-d %b %Y, %H:%M:%S %Z}"
    return format_html(
        '<time datetime="{}" title="{}" data-relative="{}">{}</time>',
        moment.isoformat(),
        absolute,
        kind,
        words,
    )


def _words(seconds: float, kind: str) -> str:
    for length, unit in _SPANS:
        if seconds >= length:
            span = f"{int(seconds // length)} {unit}"
            return f"{span} ago" if kind == "ago" else span
    return "just now" if kind == "ago" else "under a minute"
