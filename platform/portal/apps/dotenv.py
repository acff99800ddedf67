"""Read and write config vars as a .env file, by python-dotenv's rules of quotes and comments."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping

from dotenv.parser import parse_stream

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"})


def read(text: str) -> dict[str, str]:
    """Return the values by name. References such as ${NAME} stay as they are.

    Raise ValueError for a line that has no NAME=value.
    """
    found = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.key is not None and binding.value is not None and not binding.error:
            found[binding.key] = binding.value
        elif binding.error or binding.key is not None:
            line = binding.original.string.strip()
            raise ValueError(
                f"Line {binding.original.line} is not of the form NAME=value: {line[:60]}"
            )
    return found


def write(config: Mapping[str, str]) -> str:
    """Return one line per variable. `read` returns the same values."""
    return "".join(f"{name}={_quoted(value)}\n" for name, value in config.items())


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else f'"{value.translate(_ESCAPES)}"'
