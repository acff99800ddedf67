"""Programs that are written as strings, for other processes, import only names that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, tracked

PACKAGES = "runtime|workers|portal|tests"
IMPORT = re.compile(
    rf"^\s*(?:from ((?:{PACKAGES})[\w.]*) import ([\w, ]+)|import ((?:{PACKAGES})[\w.]+))",
    re.MULTILINE,
)
FOLDERS = ("tests", "bench", "runtime", "workers", "platform")
SOURCES = [
    path
    for path in tracked()
    if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in FOLDERS
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_in_strings_exist(path: Path) -> None:
    wrong = [
        f"line {line}: from {module} import {name}" if name else f"line {line}: import {module}"
        for line, text in _strings(path)
        for module, names, plain in IMPORT.findall(text)
        for name in [part.split()[0] for part in names.split(",") if part.strip()] or [""]
        if not _exists(module or plain, name)
    ]
    assert not wrong, f"{path.relative_to(ROOT)}: {wrong}"


def test_a_wrong_import_is_found() -> None:
    assert _exists("runtime.images.removal", "GarbageCollector")
    assert _exists("runtime.logs", "logfile")
    assert not _exists("runtime.images.removal", "Sweeper")
    assert not _exists("runtime.engines", "logs")


def _strings(path: Path) -> list[tuple[int, str]]:
    """Return the strings of a file; a placeholder of an f-string is left out."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.JoinedStr):
            parts = [
                part.value
                for part in node.values
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            ]
            found.append((node.lineno, "…".join(parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append((node.lineno, node.value))
    return found


def _exists(module: str, name: str) -> bool:
    top = ROOT / "platform" if module.split(".", maxsplit=1)[0] == "portal" else ROOT
    folder = top.joinpath(*module.split("."))
    if name and ((folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()):
        return True
    file = (
        folder.with_suffix(".py") if folder.with_suffix(".py").exists() else folder / "__init__.py"
    )
    return file.exists() and (not name or name in _names(file))


@cache
def _names(file: Path) -> frozenset[str]:
    """Return the names that a module defines or imports at its top."""
    found: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
    return frozenset(found)
