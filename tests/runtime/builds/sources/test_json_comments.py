"""Tests of JSON with comments: what is blanked out, and that positions and strings stay."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.builds.manifest.json_comments import plain_json
from runtime.builds.manifest.load import read
from runtime.errors import BadSource

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{\n  // Dokku allows this comment\n  "name": "x"\n}', {"name": "x"}),
        ('{"a": 1, /* two\nlines */ "b": [1, 2,], }', {"a": 1, "b": [1, 2]}),
        ('{"a": "// no, /* no */ ,}" , // yes\n}', {"a": "// no, /* no */ ,}"}),
        ('{"a": "\\"// no"}', {"a": '"// no'}),
        ("[1, // last\n /* really */ ]", [1]),
        ("[1/**/,/***/2]//", [1, 2]),
        ('"https://x"', "https://x"),
    ],
)
def test_comments_and_trailing_commas_are_read_over(text: str, value: object) -> None:
    assert json.loads(plain_json(text)) == value


@pytest.mark.parametrize(
    "text", ["[,]", "{,}", "[1,,]", "/* open", '{"a": "x', "[1 / 2]", '{"a":,}', ",", ""]
)
def test_other_faults_stay_faults(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(plain_json(text))


@settings(max_examples=50)
@given(VALUES, st.sampled_from([None, 2]))
def test_plain_json_stays_as_it_is(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert plain_json(text) == text


@given(st.text(alphabet='/*\\",[]{}\n x1:'))
def test_no_position_changes(text: str) -> None:
    plain = plain_json(text)
    assert len(plain) == len(text)
    assert [place for place, character in enumerate(plain) if character == "\n"] == [
        place for place, character in enumerate(text) if character == "\n"
    ]


def test_app_json_may_have_comments_and_an_error_names_its_line() -> None:
    text = b'{\n  // for Dokku\n  "env": {"A": "https://x",},\n}'
    assert read({"app.json": text}).variables["A"].value == "https://x"
    with pytest.raises(BadSource, match=r"app\.json is not valid JSON: .* line 3 column 3"):
        read({"app.json": b"{\n  // a comment\n  oops\n}"})


def test_a_large_file_with_many_comments_is_read_quickly() -> None:
    text = "[" + "1, /* * / */\n" * 50_000 + "]"
    assert len(json.loads(plain_json(text))) == 50_000
    for unclosed in ("/*x" * 100_000, '"' + "\\" * 200_001, '"\\' * 200_000):
        assert plain_json(unclosed) == unclosed
