"""Conversion of values to and from the JSON in which they are stored, by the types of their fields.

Pure. A field that is missing in an older document gets its default. A field that only a later
release knows is ignored.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def to_json(value: object) -> Any:  # JSON
    """Return a value as dicts, tuples and plain values for `json.dumps`."""
    return msgspec.to_builtins(value, enc_hook=_plain)


def from_json(document: object, kind: type[T]) -> T:
    """Return the value of a type that a JSON document has.

    Raise ValueError with the field if it does not fit.
    """
    return msgspec.convert(document, kind, dec_hook=_value)


def _plain(value: object) -> object:
    """Return a subclass of text or number, such as an amount, as its basic type; a path or a
    network as text."""
    return int(value) if isinstance(value, int) else str(value)


def _value(kind: Any, plain: object) -> Any:
    """Convert what `_plain` returned. msgspec reports a ValueError or TypeError with the field."""
    basic = int if issubclass(kind, int) else str
    if type(plain) is not basic or not issubclass(kind, int | str | PurePath):
        raise TypeError(f"Expected `{basic.__name__}`, got `{type(plain).__name__}`")
    return kind(plain)
