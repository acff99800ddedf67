"""Tests of command lines for images without a shell."""

from __future__ import annotations

import pytest

from runtime.containers.command_line import words


@pytest.mark.parametrize(
    ("line", "split"),
    [
        ("server", ("server",)),
        ("server -port $PORT --name=${NAME}s", ("server", "-port", "8000", "--name=two wordss")),
        ("bin/server 'a b; c' \"d * e\" f\\ g", ("bin/server", "a b; c", "d * e", "f g")),
        ('server "$NAME" $NONE', ("server", "two words", "")),
        ("server --title=$QUOTE", ("server", "--title=it's; $PORT")),
    ],
)
def test_a_line_is_split_and_its_variables_are_replaced(line: str, split: tuple[str, ...]) -> None:
    assert words(line, {"PORT": "8000", "NAME": "two words", "QUOTE": "it's; $PORT"}) == split


def test_without_an_environment_variables_are_kept() -> None:
    assert words("server $PORT") == ("server", "$PORT")


@pytest.mark.parametrize(
    "line",
    [
        "a && b",
        "a | b",
        "a > b",
        "a $(b)",
        "a `b`",
        "a *.x",
        "a ~",
        "X=1 a",
        "a '$PORT'",
        "a $1",
        "a ${X:-y}",
        "a\nb",
        "a # b",
        "a 'b",
        "",
        "a;",
    ],
)
def test_a_line_that_needs_a_shell_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        words(line)
