"""Plugin of `make test-fast`: keep only tests that need neither root nor a service nor a database.

The imports of a test's file and of its fixtures decide. The test is left out if one of them can
start programs, open sockets, call the kernel or read the database. So no list of tests has to be
kept.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test, settings

NEEDS_MORE = (  # modules, with all below them
    "celery",
    "django.db",
    "django.test",
    "playwright",
    "portal.accounts",
    "pyroute2",
    "redis",
    "runtime.confined.session",
    "runtime.containers.cgroups",
    "runtime.containers.lifecycle",
    "runtime.engines",
    "runtime.images.store",
    "runtime.kernel",
    "runtime.images.layers",
    "runtime.network.links",
    "runtime.process",
    "runtime.router.router",
    "runtime.trees.folder",
    "socket",
    "subprocess",
    "tests.warm",
    "workers.node",
)
MOST_EXAMPLES = 10
ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent
FIXTURES_WITH_MORE = frozenset(
    {"db", "transactional_db", "redis_server", "broker", "chromium", "settings"}
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept = [item for item in items if _is_fast(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept
    for item in kept:
        _use_few_examples(item)


def _use_few_examples(item: pytest.Item) -> None:
    """Cap the examples of a property test; `make test` draws them all. A test's own settings go
    before every profile of Hypothesis, so they are replaced where it keeps them.
    """
    function = getattr(item, "function", None)
    if function is not None and is_hypothesis_test(function):
        chosen: settings = function._hypothesis_internal_use_settings
        function._hypothesis_internal_use_settings = settings(
            chosen, max_examples=min(chosen.max_examples, MOST_EXAMPLES)
        )


def _is_fast(item: pytest.Item) -> bool:
    names: tuple[str, ...] = tuple(getattr(item, "fixturenames", ()))
    if FIXTURES_WITH_MORE & {*names} or item.get_closest_marker("django_db"):
        return False
    files = {item.path}
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        files |= {Path(definition.func.__code__.co_filename) for definition in definitions}
    ours = {
        path for path in files if path.is_relative_to(FOLDER) and path != FOLDER / "conftest.py"
    }
    return not any(_needs_more(path) for path in ours)


@cache
def _needs_more(path: Path) -> bool:
    """Return whether the file imports one of NEEDS_MORE, directly or through a helper of the
    tests.
    """
    for name in _imports(path):
        if any(name == module or name.startswith(f"{module}.") for module in NEEDS_MORE):
            return True
        helper = ROOT / f"{name.replace('.', '/')}.py"
        if name.startswith("tests.") and helper.exists() and helper != path and _needs_more(helper):
            return True
    return False


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found
