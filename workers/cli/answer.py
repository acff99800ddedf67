"""The result of an operator's command, printed as a table for people or as JSON for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

_AMOUNTS = (int, float)
_WIDEST = 10_000  # columns: a table is never cut, also in a pipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A result: `rows` under `columns`, or a sentence. `value` is the same for programs."""

    value: object
    columns: tuple[str, ...] = ()
    rows: Sequence[Sequence[object]] = ()
    sentence: str = ""
    failed: bool = False

    def as_json(self) -> str:
        return json.dumps(self.value, indent=2, ensure_ascii=False)

    def as_table(self) -> str:
        """Return the result as a table.

        Columns are as wide as their widest text; numbers align right.
        """
        if not self.columns:
            return self.sentence
        table = Table(
            box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=True, header_style=""
        )
        sides: list[JustifyMethod] = [
            "right" if self.rows and isinstance(self.rows[0][column], _AMOUNTS) else "left"
            for column in range(len(self.columns))
        ]
        for name, side in zip(self.columns, sides, strict=True):
            table.add_column(Text(name, justify=side), no_wrap=True, overflow="crop")
        for row in self.rows:  # Text: nothing in a name or message is markup
            table.add_row(
                *(Text(str(cell), justify=side) for cell, side in zip(row, sides, strict=True))
            )
        text = io.StringIO()
        Console(file=text, width=_WIDEST, color_system=None, emoji=False, highlight=False).print(
            table
        )
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        return "\n".join([*lines, *([self.sentence] if self.sentence else [])])
