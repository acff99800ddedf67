"""Tests of texts that are made to occupy a worker: each is refused soon, with the reason.

A worker parses them in a thread that nothing can stop.
"""

from __future__ import annotations

import time

import pytest

from runtime.builds.manifest.documents import MOST_IN_KEY, parse_json, parse_toml
from runtime.errors import BadSource
from tests.runtime.builds.languages.planning import of

LONG_KEY = f"{'a.' * 20_000}a = 1\n"
DEEP_TOML = f"x = {'[' * 20_000}"
DEEP_JSON = '{"a":' * 20_000
PROJECT = "[project]\nname = 'a'\nversion = '1'\n"


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": LONG_KEY},
        {"pyproject.toml": f"[{'a . ' * 20_000}a]\n"},
        {"pyproject.toml": "x = {" + '"a".' * 20_000 + "a = 1}\n"},
        {"pyproject.toml": PROJECT, "uv.lock": LONG_KEY},
        {"pyproject.toml": "[tool.poetry.dependencies]\na = '1'\n", "poetry.lock": LONG_KEY},
        {"Pipfile": LONG_KEY},
        {"slipway.toml": LONG_KEY, "Procfile": "web: x"},
        {"pyproject.toml": PROJECT, "uv.lock": DEEP_TOML},
        {"Pipfile": DEEP_TOML},
        {"composer.json": DEEP_JSON, "index.php": ""},
        {"composer.json": "{}", "composer.lock": DEEP_JSON, "index.php": ""},
        {"package.json": DEEP_JSON},
        {"Pipfile": "", "Pipfile.lock": DEEP_JSON},
        {"package.json": f"[{'[],' * 1_000_000}1]"},
    ],
)
def test_a_text_that_is_made_to_be_slow_is_refused(files: dict[str, str]) -> None:
    began = time.process_time()
    with pytest.raises(BadSource, match=r"is not valid (?:TOML|JSON): (?:it|a key) "):
        of({"app.py": "", **files})
    assert time.process_time() - began < 2


def test_keys_of_the_usual_length_are_parsed() -> None:
    key = ".".join("a" * MOST_IN_KEY)
    assert parse_toml(f"{key} = 1\n[t.'b.c'.\"d\"]\nx = 'a.b.c'\n")["t"]["b.c"]["d"] == {
        "x": "a.b.c"
    }
    with pytest.raises(ValueError, match="more than 16 parts"):
        parse_toml(f"{key}.a = 1\n")


def test_a_number_with_too_many_digits_is_refused() -> None:
    for parse, text in ((parse_toml, f"x = {'9' * 5000}"), (parse_json, "9" * 5000)):
        with pytest.raises(ValueError, match="digits"):
            parse(text)


def test_entries_of_other_types_are_left_to_the_tool() -> None:
    entry = '{"a": {"version": "==1", "hashes": 7}}'
    assert of({"Pipfile": "", "Pipfile.lock": f'{{"default": {entry}}}', "app.py": ""}).installs
    poetry = {"pyproject.toml": "[tool.poetry.dependencies]\na = '1'\n", "app.py": ""}
    for lock in ("package = [1]\n", "package = 1\n", "[[package]]\nsource = 1\n"):
        assert of({**poetry, "poetry.lock": lock}).installs
        assert of({"pyproject.toml": PROJECT, "uv.lock": lock, "app.py": ""}).installs
