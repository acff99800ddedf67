"""The small parts every page is made of: icon, state word, bar, command line, form field, flash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from django import template
from django.contrib.messages.storage.base import Message
from django.forms import BoundField
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from portal.templatetags.amounts import percent_of

register = template.Library()

# Every state there is, of apps, builds, rollouts, instances and runs: one tone, one word.
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
    "waiting": ("changing", "Waiting for proof"),
    "verified": ("live", "Verified"),
    "unproven": ("failed", "Not proven"),
}
_FLASHES = {"success": ("live", "check"), "error": ("failed", "circle-alert"), "warning": ("changing", "triangle-alert")}
_CODE = (SafeString("<code>"), SafeString("</code>"))
_SPARK_WIDTH, _SPARK_HEIGHT = 80, 20


class Bar(TypedDict):
    label: str
    width: str
    second_width: str
    level: str


class Flash(TypedDict):
    tone: str
    icon: str
    sentence: str
    rest: list[str]


@register.simple_tag
def icon(name: str, classes: str = "") -> SafeString:
    """An icon of the sprite. Decoration only: a word always stands beside it, or the button has a label."""
    return format_html('<svg class="icon {}" aria-hidden="true"><use href="{}#{}"></use></svg>', classes, static("icons.svg"), name)


@register.inclusion_tag("components/state.html")
def state(value: str) -> dict[str, str]:
    """The one colour, shape and word of a state."""
    tone, word = _STATES[value]
    return {"tone": tone, "word": word}


@register.filter
def tone(value: str) -> str:
    """The tone of a state: live, changing, failed, asleep or stopped."""
    return _STATES[value][0]


@register.inclusion_tag("components/bar.html")
def bar(part: float, whole: float, label: str, after: float | None = None, behind: float | None = None) -> Bar:
    """Use against a limit. `label` says it in words; `after` draws where it would be; `behind` draws another sum, paler."""
    width = percent_of(part, whole)
    second = behind if after is None else after
    reached = width if after is None else max(width, percent_of(after, whole))
    return Bar(
        label=label,
        width=f"{width:.1f}%",
        second_width="" if second is None else f"{percent_of(second, whole):.1f}%",
        level="full" if reached >= 100 else "high" if reached >= 80 else "",
    )


@register.inclusion_tag("components/sparkline.html")
def sparkline(values: Sequence[float], label: str) -> dict[str, str]:
    """A small line without axes: the last is at the right, the greatest at the top. `label` says it in words."""
    top = max(values, default=0.0) or 1.0
    wide = _SPARK_WIDTH / max(len(values) - 1, 1)
    places = [f"{number * wide:.1f},{_SPARK_HEIGHT - 1 - value / top * (_SPARK_HEIGHT - 2):.1f}" for number, value in enumerate(values)]
    return {"line": " ".join(places), "label": label, "width": str(_SPARK_WIDTH), "height": str(_SPARK_HEIGHT)}


@register.inclusion_tag("components/command.html")
def command(text: str, label: str = "command") -> dict[str, str | list[str]]:
    """One or more lines to paste into a shell, with a button that copies them all."""
    return {"text": text, "lines": text.splitlines(), "label": label}


@register.inclusion_tag("components/copy.html")
def copy(text: str, label: str) -> dict[str, str]:
    """The small button that copies `text`; `label` says what is copied."""
    return {"text": text, "label": label}


@register.inclusion_tag("components/field.html")
def field(bound: BoundField, classes: str = "") -> dict[str, BoundField | str]:
    """Label, control, hint and problem of one form field."""
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
    """What stands between backticks, as in the manual, is set as code."""
    parts = enumerate(text.split("`"))
    return format_html_join("", "{}{}{}", ((_CODE[0], part, _CODE[1]) if number % 2 else ("", part, "") for number, part in parts))


@register.filter
def flash(message: Message) -> Flash:
    """A message is lines: what happened, then why and what to do."""
    tone, name = _FLASHES.get(message.level_tag, ("asleep", "circle-alert"))
    sentence, *rest = str(message.message).splitlines()
    return Flash(tone=tone, icon=name, sentence=sentence, rest=[line for line in rest if line])


@register.filter
def told(text: str) -> list[str]:
    """A status's first sentence, then the rest as lines: the first is what one sees from afar."""
    first, full_stop, rest = text.partition(". ")
    return [first + full_stop.strip(), *sentences(rest)]


@register.filter
def sentences(reason: str) -> list[str]:
    """A reason's lines, for a failure told in parts."""
    return [line for line in reason.splitlines() if line.strip()]
