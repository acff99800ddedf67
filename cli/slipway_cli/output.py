"""The output of commands: results on standard output, progress and questions on standard error.

A result is a table for people, tab-separated lines if standard output is not a terminal, or the
API's own JSON with --json.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slipway_cli.errors import CommandFailed, ExitCode


@dataclass(frozen=True, slots=True)
class Output:
    """Where and how a command prints."""

    as_json: bool = False
    quiet: bool = False

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[object]], data: object, *, none: str
    ) -> None:
        """Print rows. `data` is printed with --json; `none` is said if there are no rows."""
        if self.as_json:
            self.json(data)
        elif not rows:
            self.say(none)
        elif _is_terminal(sys.stdout):
            _draw(columns, rows)
        else:
            print("\t".join(column.upper() for column in columns))
            for row in rows:
                print("\t".join(_cell(value) for value in row))

    def facts(self, facts: Mapping[str, object], data: object) -> None:
        """Print names and values, one a line."""
        if self.as_json:
            self.json(data)
            return
        width = max(map(len, facts), default=0)
        terminal = _is_terminal(sys.stdout)
        for name, value in facts.items():
            print(f"{name:{width}}  {_cell(value)}" if terminal else f"{name}\t{_cell(value)}")

    def result(self, sentence: str, data: object = None) -> None:
        """Print what a command has done."""
        if self.as_json:
            self.json(data if data is not None else {"done": sentence})
        else:
            self.say(sentence)

    def json(self, data: object) -> None:
        print(json.dumps(data, indent=2, ensure_ascii=False))

    def line(self, text: str) -> None:
        """Print a line of a log: on standard error with --json, so that the result is alone."""
        print(text, file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def say(self, sentence: str) -> None:
        """Print a sentence for a person."""
        if not self.quiet:
            print(sentence, file=sys.stderr, flush=True)


def ask(question: str, *, expected: str, assume: bool) -> None:
    """Let the person type `expected` before something is lost. Raise CommandFailed otherwise.

    `assume` is --yes. Without a terminal there is nobody to ask.
    """
    if assume:
        return
    if not sys.stdin.isatty():
        raise CommandFailed(
            f"{question} There is no terminal to ask on.",
            hint="Add --yes if you are sure.",
            code=ExitCode.USAGE,
        )
    print(f"{question} Type {expected} to confirm: ", file=sys.stderr, end="", flush=True)
    if sys.stdin.readline().strip() != expected:
        raise CommandFailed("Nothing was changed.")


def show_failure(failure: CommandFailed) -> None:
    """Print an error and its remedy on standard error."""
    bold = _is_terminal(sys.stderr)
    mark = "\x1b[1;31mError:\x1b[0m" if bold else "Error:"
    print(f"{mark} {failure.sentence}", file=sys.stderr)
    if failure.hint:
        print(failure.hint, file=sys.stderr)


def bytes_of(count: float | None) -> str:
    """Return an amount of bytes in binary units, for example 12.5 MiB."""
    if count is None:
        return ""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return (
                f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
            )
        amount /= 1024
    return f"{amount:.1f} TiB"


def _is_terminal(stream: object) -> bool:
    """Return whether a stream may have colours and drawings (no-color.org)."""
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty()) and not os.environ.get("NO_COLOR")


def _cell(value: object) -> str:
    """Return a value as one line without tabs."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(str(value).split())


def _draw(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    from rich.console import Console  # slow to import: only for people
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))  # Text: a name is not markup
    Console().print(table)
