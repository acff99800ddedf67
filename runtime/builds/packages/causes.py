"""Explain why a step failed for a reason outside of the app's code, from its output. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST_LINE = 400  # characters; the time grows with its square
_HOST = r"['\"]?(?:https?://)?([a-zA-Z0-9-]+(?:\.[a-zA-Z0-9-]+)+)"
_UNREACHABLE = (
    re.compile(rf"Could not resolve host: {_HOST}"),  # curl, git
    re.compile(rf"Failed to connect to {_HOST} port"),  # the same
    re.compile(rf"unable to resolve host address {_HOST}"),  # wget
    re.compile(rf"getaddrinfo (?:ENOTFOUND|EAI_AGAIN) {_HOST}"),  # Node.js
    re.compile(rf"connect E(?:TIMEDOUT|CONNREFUSED|HOSTUNREACH|NETUNREACH) {_HOST}:\d"),  # the same
    re.compile(rf"HTTPS?ConnectionPool\(host={_HOST}['\"].*(?:Max retries|NameResolution)"),
    re.compile(rf"dial tcp: lookup {_HOST}"),  # Go
    re.compile(rf"Failed to open TCP connection to {_HOST}:"),  # Ruby
    re.compile(rf"Could not fetch .*from {_HOST}.*timed out"),
    re.compile(rf"Could not transfer \S+ \S+ from/to \S+ \({_HOST}"),  # Maven
    re.compile(rf"UnknownHostException: {_HOST}"),  # Gradle's wrapper
)
_NO_TERMINAL = re.compile(
    r"EOFError: EOF when reading a line|input device is not a TTY|_NO_TTY\b|must be run in a TTY"
    r"|Inappropriate ioctl for device|stdin is not a (?:tty|terminal)|readline was closed"
    r"|User force closed the prompt|could not read Username for",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The reason of a failure, as a sentence, and the remedy."""

    what: str
    hint: str


def explain(output: Sequence[str]) -> Cause | None:
    """Return the cause that the last lines show, or None."""
    for line in (line[:_LONGEST_LINE] for line in reversed(output)):
        if _NO_TERMINAL.search(line):
            return Cause(
                what="It asked for input, but a build has no terminal, and its input is empty.",
                hint="Give the answer as an option or a config var of the command.",
            )
        for pattern in _UNREACHABLE:
            if match := pattern.search(line):
                return Cause(
                    what=f"It could not reach {match[1]}.",
                    hint=(
                        f"Check that builds may connect to {match[1]}, or use a version of the"
                        " package that has the file."
                    ),
                )
    return None
