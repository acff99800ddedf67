"""Command lines for images without a shell: words and variables only. Pure.

Syntax that needs a shell (`&&`, `|`, `$(…)`, `*`) fails the build, not the start of the app.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

NO_SHELL = "slipway.shell-less"  # label of an image whose command lines are parsed here
_ASKS_A_SHELL = re.compile(r"[;&|<>()`*?\[\]~!#\n{}]|\$[^A-Za-z_]")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def words(line: str, environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the words of a line, with $NAME and ${NAME} replaced from `environment`.

    Without `environment` the variables are not replaced. A variable's value is never split: it is a
    word, or a part of one. Raises ValueError, which names the part that needs a shell.
    """
    rest = re.sub(r"'[^']*'|\"[^\"$`\\]*\"", "", _VARIABLE.sub("", line))
    if found := _ASKS_A_SHELL.search(rest):
        raise ValueError(f"{found[0].strip() or 'a second line'} needs a shell")
    if "'" in line and "$" in line:
        raise ValueError("single quotes around a variable need a shell")
    split = tuple(shlex.split(line))
    if not split:
        raise ValueError("it names no program")
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*=.*", split[0]):
        raise ValueError("a variable set before the program needs a shell")
    if environment is None:
        return split
    return tuple(
        _VARIABLE.sub(lambda match: environment.get(match[1] or match[2], ""), word)
        for word in split
    )
