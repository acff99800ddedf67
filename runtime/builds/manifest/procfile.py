"""Parse a Procfile: process type to shell line.

Pure. Format: https://devcenter.heroku.com/articles/procfile.
"""

from __future__ import annotations

import re

from runtime.errors import BadSource

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_MERGE_MARK = re.compile(r"<{7}|={7}$|>{7}|\|{7}")  # as git merge writes them
MOST_PROCESSES = 30
LONGEST_COMMAND = 16 * 2**10  # characters; the limit of execve(2) is 128 KiB for each word
_EXAMPLE = "Example of a line: web: gunicorn app:app"


def parse(text: str) -> dict[str, str]:
    """Return the process types in their order, each with its command.

    BadSource names the line with the error.
    Empty lines and lines starting with # are skipped.
    `release` is not a process: it is the command of the release phase.
    """
    processes: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if not (content := line.strip()) or content.startswith("#"):
            continue
        if _MERGE_MARK.match(line):
            raise BadSource(
                f"Procfile, line {number}: {content[:60]!r} is a mark of a merge conflict.",
                hint="Resolve the conflict: keep the right lines, and remove the marks.",
            )
        name, colon, command = (part.strip() for part in content.partition(":"))
        if not colon:
            raise BadSource(
                f"Procfile, line {number}: {content!r} has no colon after a process type.",
                hint=_EXAMPLE,
            )
        if not _NAME.fullmatch(name):
            raise BadSource(
                f"Procfile, line {number}: {name!r} is not a valid process type.",
                hint="Use up to 63 letters, digits, - and _. Start and end with a letter or digit.",
            )
        if not command or "\0" in command:
            raise BadSource(
                f"Procfile, line {number}: the process type {name!r} has no command.", hint=_EXAMPLE
            )
        if len(command) > LONGEST_COMMAND:
            raise BadSource(
                f"Procfile, line {number}: the command is longer than {LONGEST_COMMAND:,}"
                " characters.",
                hint="Put it into a script.",
            )
        if name in processes:
            raise BadSource(
                f"Procfile, line {number}: the process type {name!r} is defined twice.",
                hint="Remove one of the lines.",
            )
        processes[name] = command
        if len(processes) > MOST_PROCESSES:
            raise BadSource(
                f"The Procfile has more than {MOST_PROCESSES} processes, the most that an app may"
                " have.",
                hint="Use fewer.",
            )
    if not processes:
        raise BadSource("The Procfile is empty: it has no process types.", hint=_EXAMPLE)
    return processes
