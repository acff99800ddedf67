"""Amounts with a unit, which are parsed once at the edge. They have only the arithmetic of int."""

from __future__ import annotations

import re
from typing import Self

_BYTES = re.compile(
    r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*(?:([KMGT])(?:i?B)?|B|Bytes?)?\s*", re.IGNORECASE
)
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
        return cls(round(float(match[1]) * 1024 ** _POWERS[(match[2] or "").lower()]))

    def __str__(self) -> str:
        """Return it with one decimal, unless that is zero: `1.5 GiB`, `512 Bytes`."""
        if abs(self) < 1024:
            return f"{int(self)} Byte" if abs(self) == 1 else f"{int(self)} Bytes"
        amounts = ((self / 1024**power, unit) for power, unit in enumerate("KMG", 1))
        below = (found for found in amounts if round(abs(found[0]), 1) < 1024)
        amount, unit = next(below, (self / 1024**4, "T"))
        return f"{f'{amount:.1f}'.removesuffix('.0')} {unit}iB"

    def exact(self) -> str:
        """Return the text from which `parse` makes the same size."""
        for unit, power in (("TiB", 4), ("GiB", 3), ("MiB", 2), ("KiB", 1)):
            amount = f"{self / 1024**power:.3f}".rstrip("0").removesuffix(".")
            if self >= 1024**power and round(float(amount) * 1024**power) == self:
                return f"{amount} {unit}"
        return f"{int(self)} Bytes"


class Millicores(int):
    """CPU time as thousandths of one core: 250 is a quarter of a core."""

    def __str__(self) -> str:
        return f"{int(self) / 1000:g} CPU"
