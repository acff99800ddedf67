"""The options of the programs behind `make attack` and `make fuzz`: words such as `only=git`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def read_options(words: Sequence[str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each option. An empty value means its default.

    Raise ValueError if a word is not NAME=VALUE with a known name. So a value that the shell has
    split at its spaces is not lost.
    """
    values = dict(defaults)
    for word in words:
        name, equals, value = word.partition("=")
        if name not in defaults or not equals:
            raise ValueError(f"{word}: use {', '.join(f'{known}=VALUE' for known in defaults)}.")
        values[name] = value or defaults[name]
    return values
