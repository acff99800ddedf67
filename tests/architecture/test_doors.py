"""Tests of the source files: each dangerous module is used in its adapter only, and no file is too
long.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("platform", "workers", "runtime")
    for path in (ROOT / folder).rglob("*.py")
    if "migrations" not in path.parts
)
DOORS = {
    "subprocess": {"runtime/process.py", "platform/portal/programs/running.py"},
    "ctypes": {
        "runtime/kernel.py",
        "runtime/syscalls.py",
        "runtime/libnftables.py",
        "runtime/libseccomp.py",
    },
    "os.fork": {"runtime/confined/zygote.py", "runtime/confined/probe.py"},
    "pyroute2": {"runtime/network/"},
    "tomllib": {
        "runtime/builds/manifest/documents.py",
        "runtime/builds/languages/python_build/run_commands.py",  # runs in a build container
        "runtime/stacks/parsing.py",  # reads files of the operator
    },
    "os.environ": {
        "runtime/config.py",
        "platform/portal/settings.py",
        "workers/celery.py",  # names the settings module for Celery, as manage.py does for Django
    },
}
# Ways around the adapters.
ALSO = {
    "multiprocessing",
    "pty",
    "os.system",
    "os.popen",
    "os.posix_spawn",
    "os.getenv",
    "os.putenv",
}
LONGEST = 400


def uses(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and name of each imported module and of each use of `os.something`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, name.name) for name in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield node.lineno, module
                yield from ((node.lineno, f"{module}.{name.name}") for name in names)
            case ast.Attribute(value=ast.Name(id="os"), attr=attribute):
                yield node.lineno, f"os.{attribute}"


def door_of(use: str) -> str | None:
    return next(
        (door for door in (*DOORS, *ALSO) if use == door or use.startswith(f"{door}.")), None
    )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_dangerous_module_is_used_in_its_adapter_only(path):
    place = str(path.relative_to(ROOT))
    for line, use in uses(path.read_text()):
        door = door_of(use)
        allowed = door is None or any(place.startswith(room) for room in DOORS.get(door, ()))
        assert allowed, (
            f"{place}:{line} uses {use}; {door} is for"
            f" {', '.join(sorted(DOORS.get(door, {'nobody'})))}"
        )


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_the_limit(path):
    length = len(path.read_text().splitlines())
    assert length <= LONGEST, (
        f"{path.relative_to(ROOT)} has {length} lines; one noun per file, {LONGEST} at most"
    )


def test_the_platform_folder_holds_only_the_portal():
    """Check that `platform` stays a namespace for the portal only.

    With an __init__.py, or with a package named like a module of the standard library, it would
    hide Python's own `platform`.
    """
    assert [
        entry.name for entry in sorted((ROOT / "platform").iterdir()) if entry.name != "__pycache__"
    ] == ["portal"]


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "base", "manager"])
def test_no_module_has_a_vague_name(word):
    assert not [str(path) for path in SOURCES if path.stem == word]
