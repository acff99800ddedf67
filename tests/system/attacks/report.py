"""The table of attacks in docs/security.md.

Each row is an attack's newest result, with its day. Text in, text out.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.system.attacks.attack import Result

BEGIN, END = (
    "<!-- attacks: written by make attack TABLE=docs/security.md -->",
    "<!-- end of attacks -->",
)
HEAD = (
    (
        "| attack | what holds it | how it ended | victim's p99 alone, under attack (ms) | ratio |"
        " day |"
    ),
    "|---|---|---|---|---|---|",
)


def with_results(text: str, results: Iterable[Result], day: str, *, order: Iterable[str]) -> str:
    """Return `text` with these results in its table.

    Rows of other attacks stay, in `order` of titles. Rows of deleted attacks are removed.
    """
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    if not rest or not after:
        raise ValueError(f"There is no table between `{BEGIN}` and `{END}`.")
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("|")}
    rows |= {result.attack.title: row_of(result, day) for result in results}
    return "\n".join(
        [
            f"{before}{BEGIN}",
            *HEAD,
            *(rows[name] for name in order if name in rows),
            f"{END}{after}",
        ]
    )


def row_of(result: Result, day: str) -> str:
    ended = f"{result.ended}; wrong: {'; '.join(result.wrong)}" if result.wrong else result.ended
    figures = f"{result.alone:.1f}, {result.under:.1f} | {result.under / result.alone:.1f}"
    cells = [
        result.attack.title,
        result.attack.holds,
        ended.replace("|", "/").replace("\n", " "),
        figures,
        day,
    ]
    return f"| {' | '.join(cells)} |"
