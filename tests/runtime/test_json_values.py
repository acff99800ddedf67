"""Values are stored as JSON and read back; documents of other releases are read too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from runtime.contract.health import CheckKind, HealthCheck, from_document, to_document
from runtime.contract.json_values import from_json, to_json
from runtime.contract.quantities import Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    path: Path
    size: Bytes = field(default_factory=lambda: Bytes(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    name: str
    parts: tuple[Part, ...] = ()
    kind: CheckKind = CheckKind.TCP
    labels: Mapping[str, str] = field(default_factory=dict)
    at: float | None = None


WHOLE = Whole(
    name="half a character: \udcff",
    parts=(Part(path=Path("/x"), size=Bytes(3)),),
    kind=CheckKind.HTTP,
    labels={"a": "b"},
    at=2.0,
)


def test_a_value_is_the_same_after_writing_and_reading() -> None:
    found = from_json(json.loads(json.dumps(to_json(WHOLE))), Whole)
    assert found == WHOLE
    assert type(found.parts[0].size) is Bytes


def test_missing_fields_get_their_default_and_unknown_fields_are_ignored() -> None:
    assert from_json({"name": "x", "weather": "fair"}, Whole) == Whole(name="x")


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({}, "missing required field `name`"),
        ({"name": 1}, r"Expected `str`, got `int` - at `\$.name`"),
        ({"name": "x", "kind": "udp"}, r"Invalid enum value 'udp' - at `\$.kind`"),
        ({"name": "x", "parts": [{"path": 1}]}, r"Expected `str`, got `int` - at `\$.parts\[0\]"),
        ({"name": "x", "parts": [{"path": "/", "size": "3"}]}, r"Expected `int`, got `str` - at"),
        ({"name": "x", "parts": [{"path": "/", "size": True}]}, r"Expected `int`, got `bool`"),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_an_invalid_document_is_an_error_that_names_the_field(
    document: object, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        from_json(document, Whole)


def test_a_health_check_that_earlier_releases_stored_is_read() -> None:
    stored = {
        "kind": "command",
        "path": "/",
        "command": ["true"],
        "timeout": 5,
        "start_period": 30.0,
        "interval": 10.0,
        "attempts": 3,
    }
    check = HealthCheck(kind=CheckKind.COMMAND, command=("true",))
    assert from_document(stored) == from_document({**stored, "words": "`true`"}) == check
    assert json.loads(json.dumps(to_document(check))) == stored  # earlier releases can read it
