"""Tests of the tables that the operator's commands print."""

from __future__ import annotations

from workers.cli.answer import Answer


def test_amounts_align_right_and_no_line_is_cut_or_has_markup() -> None:
    name = "x" * 300
    answer = Answer(
        value=None,
        columns=("NAME", "LAYERS"),
        rows=[(name, 12), ("[red]漢字[/red]", 5)],
        sentence="2 images.",
    )
    assert answer.as_table().splitlines() == [
        "NAME" + " " * 298 + "LAYERS",
        name + "  " + "    12",
        "[red]漢字[/red]" + " " * (300 - 15) + "  " + "     5",
        "2 images.",
    ]


def test_a_result_without_columns_is_its_sentence() -> None:
    assert Answer(value=[], sentence="Nothing to remove.").as_table() == "Nothing to remove."
