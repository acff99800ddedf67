"""Explain why a package could not be compiled, from the output of its installation. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LONGEST_LINE = 400  # characters; the time grows with its square
_BUILD = re.compile(r"Failed to build\b|The build backend returned an error")
_PACKAGE = re.compile(r"Failed to build [`']?([A-Za-z0-9][\w.-]*(?:==[\w.+!-]+)?)")
_MISSING = (
    (re.compile(r"fatal error: ([\w./+-]+): No such file or directory"), "the C header `{}`"),
    (re.compile(r"cannot find -l([\w.+-]+)"), "the library `lib{}.so`"),
    (re.compile(r"No package '([\w.+-]+)' found"), "the library `{}` (by pkg-config)"),
    (re.compile(r"Package '?([\w.+-]+)'?,? .*\bnot found"), "the library `{}` (by pkg-config)"),
    (re.compile(r"can't find Rust compiler|`?(?:cargo|rustc)`? .*not (?:found|installed)"), "Rust"),
    (re.compile(r"No such file or directory: '([\w.+-]+)'"), "the program `{}`"),
    (re.compile(r"command '([\w./+-]+)' failed: No such file"), "the program `{}`"),
    (re.compile(r"([\w.+-]+): (?:command )?not found"), "the program `{}`"),
    (re.compile(r"\b([\w.+-]+) executable not found"), "the program `{}`"),
)


def is_compilation(output: Sequence[str]) -> bool:
    """Return whether a package failed that had to be built from its source."""
    return any(_BUILD.search(line) for line in output)


def explain(output: Sequence[str]) -> str:
    """Return a sentence that names the package and what its compilation lacked; "" if the output
    does not show it.
    """
    lines = [line[:_LONGEST_LINE] for line in output]
    package = next((match[1] for line in lines if (match := _PACKAGE.search(line))), "A package")
    for pattern, words in _MISSING:
        for line in lines:
            if match := pattern.search(line):
                lacked = words.format(*match.groups())
                return f"{package} could not be compiled: the build does not have {lacked}."
    return ""
