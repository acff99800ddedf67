"""Split the reason of a failure into sentences and the lines of a log that follow them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

# a sentence that announces lines of a log, or the first line of a traceback
_BEGINS_LOG = re.compile(r"last lines:$|^Traceback \(most recent call last\):$")
_CULPRIT = re.compile(
    r"^\s*(?:[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)\b|(?:npm ERR!|error|fatal|panic)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """A line of a log, with its indentation. `is_culprit`: it names the error."""

    text: str
    is_culprit: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureText:
    """The parts of a reason."""

    sentences: tuple[str, ...]
    rows: tuple[LogRow, ...]


def split_reason(reason: str) -> FailureText:
    """Return the parts of a reason. The last line of the log that names an error is the culprit."""
    lines = [line.rstrip() for line in reason.splitlines() if line.strip()]
    begin = next((n for n, line in enumerate(lines) if _BEGINS_LOG.search(line)), len(lines))
    if begin < len(lines) and not lines[begin].startswith("Traceback"):
        begin += 1
    log = lines[begin:]
    culprit = max((n for n, line in enumerate(log) if _CULPRIT.match(line)), default=-1)
    return FailureText(
        sentences=tuple(lines[:begin]),
        rows=tuple(LogRow(text=line, is_culprit=n == culprit) for n, line in enumerate(log)),
    )
