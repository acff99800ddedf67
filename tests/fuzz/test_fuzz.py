"""A short `make fuzz`: 80 examples of each target, drawn by Hypothesis, in the throw-away root."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import row_of
from tests.fuzz.root import Ended, in_root
from tests.fuzz.targets import TARGETS


@pytest.mark.slow
def test_no_example_crashes_or_changes_anything_outside() -> None:
    ended = in_root("all", "examples=80", seconds=280)
    assert ended.code == 0, ended.said[-4000:]
    assert all(f"{name} is done" in ended.said for name in TARGETS), ended.said


@pytest.mark.parametrize("where", ["beside", "/etc/planted-by-tests", "/etc/passwd"])
def test_an_escape_is_detected(where: str) -> None:
    """Detect each kind of escape: a file outside the target's folder, a new file of the host, and a
    changed owner of the host's file.
    """
    ended = in_root("planted-escape", where, seconds=60)
    assert ended.code != 0
    assert "Escaped: changed" in ended.said, ended.said


def test_the_table_is_parsed_from_the_output_of_libfuzzer() -> None:
    said = (
        "20 examples, 0 refused\n#2 INITED cov: 9 ft: 9 corp: 1/1b exec/s: 0\n40 examples, 7"
        " refused\n#4711 DONE   cov: 96 ft: 201 corp: 38/1kb exec/s:"
        " 471\nstat::number_of_executed_units: 4711\n"
    )
    assert (
        str(row_of("x", Ended(0, said), ()))
        == "| x | 4,711 | 40 examples, 7 refused | 96, 201 | 38 inputs, 1kb | none |"
    )
