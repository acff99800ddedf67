"""A command line for an image without a shell: words and variables, nothing else. Pure.

What a shell would do beyond that (`&&`, `|`, `$(…)`, `*`) is refused when the app is built, not found out when it starts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

NO_SHELL = "slipway.shell-less"  # label of an image whose command lines are taken apart here
_ASKS_A_SHELL = re.compile(r"[;&|<>()`*?\[\]~!#\n{}]|\$[^A-Za-z_]")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def words(line: str, environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The words of a line, with $NAME and ${NAME} from `environment` (left as they are without one).

    A variable's value is one word, or a part of one, whatever is in it. ValueError says what would need a shell.
    """
    rest = re.sub(r"'[^']*'|\"[^\"$`\\]*\"", "", _VARIABLE.sub("", line))
    if found := _ASKS_A_SHELL.search(rest):
        raise ValueError(f"{found[0].strip() or 'a second line'} is a shell's to understand")
    if "'" in line and "$" in line:
        raise ValueError("single quotes around a variable are a shell's to understand")
    split = tuple(shlex.split(line))
    if not split:
        raise ValueError("it names no program")
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*=.*", split[0]):
        raise ValueError("a variable set before the program is a shell's to understand")
    if environment is None:
        return split
    return tuple(_VARIABLE.sub(lambda match: environment.get(match[1] or match[2], ""), word) for word in split)
