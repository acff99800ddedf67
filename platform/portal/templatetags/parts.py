"""The small parts of pages: icon, state, bar, command line, form field, flash message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from django import template
from django.contrib.messages.storage.base import Message
from django.forms import BoundField
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from portal.logs.failure_text import FailureText, split_reason
from portal.templatetags.amounts import percent_of

register = template.Library()

# Every state of apps, builds, rollouts, instances and runs: its tone and its label.
_STATES = {
    "live": ("live", "Live"),
    "changing": ("changing", "Changing"),
    "failed": ("failed", "Failed"),
    "asleep": ("asleep", "Asleep"),
    "stopped": ("stopped", "Stopped"),
    "queued": ("changing", "Queued"),
    "building": ("changing", "Building"),
    "succeeded": ("live", "Built"),
    "cancelled": ("stopped", "Cancelled"),
    "pending": ("changing", "Waiting"),
    "releasing": ("changing", "Release phase"),
    "launching": ("changing", "Starting"),
    "rolled_back": ("failed", "Rolled back"),
    "superseded": ("stopped", "Superseded"),
    "replaced": ("stopped", "Replaced"),
    "starting": ("changing", "Starting"),
    "waking": ("changing", "Waking"),
    "draining": ("changing", "Draining"),
    "crashed": ("failed", "Crashed"),
    "running": ("changing", "Running"),
    "working": ("changing", "Working"),
    "done": ("live", "Succeeded"),
    "skipped": ("stopped", "Skipped"),
    "waiting": ("changing", "Waiting for verification"),
    "verified": ("live", "Verified"),
    "unproven": ("failed", "Not verified"),
}
_FLASHES = {
    "success": ("live", "check"),
    "error": ("failed", "circle-alert"),
    "warning": ("changing", "triangle-alert"),
}
_CODE = (SafeString("<code>"), SafeString("</code>"))
_SPARK_WIDTH, _SPARK_HEIGHT = 80, 20
_SPARK_POINTS = 30


class Bar(TypedDict):
    label: str
    width: str
    second_width: str
    level: str
    second_level: str


class Flash(TypedDict):
    tone: str
    icon: str
    sentence: str
    rest: list[str]


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    """Return an icon of the sprite. It is only decoration: the text next to it, or the button's
    label, has the meaning."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#{}"></use></svg>',
        classes,
        static("icons.svg"),
        name,
    )


@register.inclusion_tag("components/state.html")
def state(value: str) -> dict[str, str]:
    """Return the colour, shape and label of a state."""
    tone, word = _STATES[value]
    return {"tone": tone, "word": word}


@register.filter
def tone(value: str) -> str:
    """Return the tone of a state: live, changing, failed, asleep or stopped."""
    return _STATES[value][0]


@register.inclusion_tag("components/bar.html")
def bar(
    part: float, whole: float, label: str, after: float | None = None, behind: float | None = None
) -> Bar:
    """Return a bar of usage and limit. `label` describes it in words.

    `after` shows the value after a change; `behind` shows a second sum in a lighter colour.
    """
    width = percent_of(part, whole)
    second = behind if after is None else after
    return Bar(
        label=label,
        width=f"{width:.1f}%",
        second_width="" if second is None else f"{percent_of(second, whole):.1f}%",
        level=_level(width),
        second_level="" if after is None else _level(percent_of(after, whole)),
    )


def _level(percent: float) -> str:
    return "full" if percent >= 100 else "high" if percent >= 80 else ""


@register.inclusion_tag("components/sparkline.html")
def sparkline(values: Sequence[float], label: str) -> dict[str, str]:
    """Return a small line chart without axes. The last value is at the right, the maximum at the
    top.

    `label` describes it in words. Neighbours are drawn as one point, with their maximum.
    """
    each = max(-(-len(values) // _SPARK_POINTS), 1)
    values = [max(values[start : start + each]) for start in range(0, len(values), each)]
    top = max(values, default=0.0) or 1.0
    wide = _SPARK_WIDTH / max(len(values) - 1, 1)
    places = [
        f"{number * wide:.0f},{_SPARK_HEIGHT - 1 - value / top * (_SPARK_HEIGHT - 2):.1f}"
        for number, value in enumerate(values)
    ]
    return {
        "line": " ".join(places),
        "label": label,
        "width": str(_SPARK_WIDTH),
        "height": str(_SPARK_HEIGHT),
    }


@register.inclusion_tag("components/command.html")
def command(text: str, label: str = "command") -> dict[str, str | list[str]]:
    """Return one or more shell lines, with a button that copies them."""
    return {"text": text, "lines": text.splitlines(), "label": label}


@register.inclusion_tag("components/copy.html")
def copy(text: str, label: str) -> dict[str, str]:
    """Return a small button that copies `text`. `label` names what is copied."""
    return {"text": text, "label": label}


@register.inclusion_tag("components/field.html")
def field(bound: BoundField, classes: str = "") -> dict[str, BoundField | str]:
    """Return the label, control, hint and error of a form field."""
    described = [f"{bound.id_for_label}-hint"] if bound.help_text else []
    if bound.errors:
        described.append(f"{bound.id_for_label}-problem")
    attributes = bound.field.widget.attrs
    attributes.setdefault("class", "input")
    if described:
        attributes["aria-describedby"] = " ".join(described)
    if bound.errors:
        attributes["aria-invalid"] = "true"
    return {"field": bound, "classes": classes}


@register.filter
def with_code(text: str) -> SafeString:
    """Format text between backticks as code."""
    parts = enumerate(text.split("`"))
    return format_html_join(
        "",
        "{}{}{}",
        ((_CODE[0], part, _CODE[1]) if number % 2 else ("", part, "") for number, part in parts),
    )


@register.filter
def flash(message: Message) -> Flash:
    """Split a message into lines: what happened, then the reason and what to do."""
    tone, name = _FLASHES.get(message.level_tag, ("asleep", "circle-alert"))
    sentence, *rest = str(message.message).splitlines()
    return Flash(tone=tone, icon=name, sentence=sentence, rest=[line for line in rest if line])


@register.filter
def headline(text: str) -> list[str]:
    """Split a status into its first sentence and the other lines. The first sentence is shown
    large."""
    first, full_stop, rest = text.partition(". ")
    return [first + full_stop.strip(), *sentences(rest)]


@register.inclusion_tag("components/reason.html")
def reason(text: str, tone: str) -> dict[str, str | FailureText]:
    """Return the reason of a failure: sentences, then lines of a log in monospace."""
    return {"text": split_reason(text), "tone": tone}


@register.filter
def sentences(reason: str) -> list[str]:
    """Split a reason into lines, to show a failure in parts."""
    return [line for line in reason.splitlines() if line.strip()]
