"""Amounts with a unit, which are parsed once at the edge. They have only the arithmetic of int."""

from __future__ import annotations

import re
from typing import Self

_BYTES = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]i?B?|B)?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Bytes(int):
    """A size in bytes; text uses binary units: `Bytes.parse("512M") == 512 * 2**20`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `512M`, `1.5 GiB`, `4096`; K, M, G, T are powers of 1024.

        ValueError names the text.
        """
        match = _BYTES.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a size; write for example 512M or 1.5GiB")
        unit = (match[2] or "").lower().rstrip("b").rstrip("i")
        return cls(round(float(match[1]) * 1024 ** _POWERS[unit]))

    def __str__(self) -> str:
        amount = float(self)
        for unit in ("B", "KiB", "MiB", "GiB"):
            if abs(amount) < 1024:
                return f"{amount:.0f} {unit}" if amount == int(amount) else f"{amount:.1f} {unit}"
            amount /= 1024
        return f"{amount:.1f} TiB"


class Millicores(int):
    """CPU time as thousandths of one core: 250 is a quarter of a core."""

    def __str__(self) -> str:
        return f"{int(self) / 1000:g} CPU"
