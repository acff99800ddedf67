"""Test of the modules that a worker imports when it starts.

A task imports those that only few nodes need.
"""

import os
import subprocess
import sys

SELDOM = (
    "acme",
    "dns",
    "httpx",
    "josepy",
    "ninja",
    "OpenSSL",
    "requests",
    "rich",
    "uvicorn",
)
LOAD = """
import sys
import workers.celery
workers.celery.app.loader.import_default_modules()
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_a_worker_starts_without_the_libraries_that_few_tasks_need() -> None:
    environment = {
        **os.environ,
        "CELERY_SKIP_CHECKS": "1",
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    done = subprocess.run(
        (sys.executable, "-c", LOAD),
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    loaded = set(done.stdout.split())
    assert "celery" in loaded
    assert loaded.isdisjoint(SELDOM), sorted(loaded & set(SELDOM))
