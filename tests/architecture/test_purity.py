"""A module that calls itself pure is held to it by import-linter (pyproject.toml)."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, tracked

# "Pure." or "Pure: no I/O." as a sentence. "Pure, except for the clock." cannot be checked.
PROMISE = re.compile(r"(?:^|[.:;)`]\s+)Pure\b(?! planning)(?!,? except)")
HELD = frozenset(
    module
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    if contract["name"].startswith("the pure modules")
    for module in contract["source_modules"]
)
PURE = [
    path
    for path in tracked()
    if path.suffix == ".py"
    and path.relative_to(ROOT).parts[0] in ("runtime", "workers", "platform")
    and PROMISE.search(ast.get_docstring(ast.parse(path.read_text())) or "")
]


def test_the_promise_is_recognised() -> None:
    assert PROMISE.search("Parse a Procfile. Pure.")
    assert PROMISE.search("Values of a thing.\n\nPure: no I/O.")
    assert not PROMISE.search("Sockets of a process. Pure, except for the read.")
    assert len(PURE) > 60


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_that_says_pure_is_in_the_contract(path: Path) -> None:
    name = (
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        .removeprefix("platform.")
        .removesuffix(".__init__")
    )
    parents = {name.rsplit(".", count)[0] for count in range(name.count(".") + 1)}
    assert parents & HELD, (
        f"{name} says Pure: add it to the contract in pyproject.toml, or do not say it"
    )
