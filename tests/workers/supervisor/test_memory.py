"""Tests of the modules that a worker and the supervisor import when they start.

A task imports those that only few nodes need.
"""

import os
import subprocess
import sys

from tests.architecture.tree import ROOT

SELDOM = (
    "acme",
    "dns",
    "httpx",
    "josepy",
    "markdown_it",
    "ninja",
    "portal.pages",
    "OpenSSL",
    "requests",
    "rich",
    "uvicorn",
)
LOAD = """
import sys
import workers.celery
workers.celery.app.loader.import_default_modules()
print(*sorted(sys.modules))
"""
SUPERVISE = """
import sys
import workers.supervisor.main
print(*sorted(sys.modules))
"""


def test_a_worker_starts_without_the_libraries_that_few_tasks_need() -> None:
    loaded = _loaded(LOAD)
    assert "celery" in loaded
    assert loaded.isdisjoint(SELDOM), sorted(loaded & set(SELDOM))


def test_the_supervisor_starts_without_the_builder() -> None:
    loaded = _loaded(SUPERVISE)
    assert "runtime.engines.node" in loaded
    unwanted = {"django.db.models", "pydantic", "runtime.builds.builder", "runtime.stacks.builder"}
    assert loaded.isdisjoint(unwanted), sorted(loaded & unwanted)


def _loaded(program: str) -> set[str]:
    """Return the names of the modules after a program, started as the platform's processes are."""
    done = subprocess.run(
        (sys.executable, "-c", program),
        env={
            **os.environ,
            "CELERY_SKIP_CHECKS": "1",
            "DJANGO_SETTINGS_MODULE": "tests.settings",
        },
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return set(done.stdout.split())
