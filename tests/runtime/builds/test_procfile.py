"""Tests of the Procfile parser: accepted lines, and the line that an error names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.builds.manifest.procfile import MOST_PROCESSES, parse
from runtime.errors import BadSource


def test_process_types_keep_their_order_and_commands_their_colons() -> None:
    text = (
        "\ufeff# how to run\r\nweb: gunicorn --bind :$PORT app:app\r\n\r\nworker:   python"
        " worker.py  \nrelease: a && b\n"
    )
    assert list(parse(text).items()) == [
        ("web", "gunicorn --bind :$PORT app:app"),
        ("worker", "python worker.py"),
        ("release", "a && b"),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("web: a\n\nworker", "line 3: 'worker' has no colon"),
        ("web:", "line 1: the process type 'web' has no command"),
        ("web: a\nweb: b", "line 2: the process type 'web' is defined twice"),
        ("we b: a", "line 1: 'we b' is not a valid process type"),
        ("-web: a", "is not a valid process type"),
        ("../x: a", "is not a valid process type"),
        (f"{'x' * 64}: a", "is not a valid process type"),
        ("# nothing\n", "has no process types"),
        ("\n".join(f"p{number}: x" for number in range(31)), "more than 30 processes"),
        (f"web: {'x' * 16_385}", "line 1: the command is longer than"),
        ("", "has no process types"),
        ("web: a\n<<<<<<< HEAD\nb: c", "line 2: '<<<<<<< HEAD' is a mark of a merge conflict"),
        ("web: a\n=======\n", "line 2: '=======' is a mark of a merge conflict"),
        (">>>>>>> topic: x", "line 1: '>>>>>>> topic: x' is a mark of a merge conflict"),
    ],
)
def test_a_wrong_line_is_named(text: str, sentence: str) -> None:
    with pytest.raises(BadSource, match=sentence) as caught:
        parse(text)
    assert caught.value.hint


@given(st.text(max_size=200))
def test_any_text_gives_processes_or_an_error(text: str) -> None:
    processes, sentence = {"web": "x"}, ""
    try:
        processes = parse(text)
    except BadSource as error:
        sentence = error.what
    assert not sentence or sentence.startswith(("Procfile, line ", "The Procfile"))
    assert processes
    assert all(
        name and command and command == command.strip() for name, command in processes.items()
    )


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9]{0,10}", fullmatch=True),
        st.from_regex(r"[!-~]([ -~]*[!-~])?", fullmatch=True),
        min_size=1,
        max_size=MOST_PROCESSES,
    )
)
def test_a_written_procfile_is_read_back_unchanged(processes: dict[str, str]) -> None:
    assert (
        parse("".join(f"{name}: {command}\n" for name, command in processes.items())) == processes
    )
