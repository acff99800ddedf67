"""Tests of the table of attacks that `make attack` writes into docs/security.md."""

import pytest

from tests.system.attacks.attack import Attack, Result
from tests.system.attacks.report import BEGIN, END, with_results

PAGE = (
    f"Before.\n\n{BEGIN}\n| attack |\n|---|\n| git: a | old | 1 |\n| git: b | old | 2 |\n| git:"
    f" gone | old | 3 |\n{END}\n\nAfter.\n"
)


def result(name: str, *wrong: str) -> Result:
    attack = Attack(kind="git", name=name, holds="checks", act=lambda _: "")
    return Result(attack=attack, ended="refused | so", alone=2.0, under=3.0, failed=0, wrong=wrong)


def test_a_run_of_some_attacks_replaces_their_rows_and_keeps_the_others():
    text = with_results(
        PAGE,
        [result("b"), result("c", "it\nsucceeded")],
        "2026-01-02",
        order=["git: c", "git: a", "git: b"],
    )
    before, table = text.split(BEGIN)
    rows = table.partition(END)[0].strip().splitlines()[2:]
    assert (before, text.rpartition(END)[2]) == ("Before.\n\n", "\n\nAfter.\n")
    assert rows == [
        "| git: c | checks | refused / so; wrong: it succeeded | 2.0, 3.0 | 1.5 | 2026-01-02 |",
        "| git: a | old | 1 |",
        "| git: b | checks | refused / so | 2.0, 3.0 | 1.5 | 2026-01-02 |",
    ]


def test_a_page_without_a_table_is_refused():
    with pytest.raises(ValueError, match="There is no table"):
        with_results("Nothing.", [], "2026-01-02", order=[])
