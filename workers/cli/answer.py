"""The result of an operator's command, printed as a table for people or as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

_AMOUNTS = (int, float)


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
        texts = [self.columns, *([str(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[column]) for row in texts) for column in range(len(self.columns))]
        right = [bool(self.rows) and isinstance(self.rows[0][column], _AMOUNTS) for column in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in zip(row, widths, right, strict=True)
            )
            for row in texts
        ]
        return "\n".join([*(line.rstrip() for line in lines), *([self.sentence] if self.sentence else [])])
