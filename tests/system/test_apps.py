"""Tests of apps in the shape that people have: each is deployed and asked for its page.

`make test` has a few of them, and `make test-apps` all.
"""

import os
from pathlib import Path

import pytest

from tests.apps.generated import GENERATED, generate
from tests.apps.other_apps import OTHERS
from tests.apps.python_apps import PYTHON
from tests.apps.written import WRITTEN
from tests.system.conftest import TEAM
from tests.system.support import archives

FEW = (  # one of each kind, without those that compile or download for minutes
    *("express", "fastify", "vite-folder", "workspaces"),
    *("django-gunicorn", "poetry-new", "python-main"),
    *("python-fastapi-standard", "python-waitress"),
    *("php-heroku-folder", "ruby-rack", "static-folder"),
)
ALL = os.environ.get("APPS") == "all"
FILES = {**WRITTEN, **PYTHON, **OTHERS}
APPS = [name for name in (*GENERATED, *FILES) if ALL or name in FEW]
LIVE_WITHIN = 900  # seconds: the packages of a framework are downloaded, built and rolled out

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.mark.parametrize("name", APPS)
def test_an_app_is_deployed_as_it_is_and_answers(name, admin, box, tmp_path: Path):
    app = GENERATED.get(name) or FILES[name]
    files = generate(app, tmp_path) if name in GENERATED else app.files
    admin.create_app(TEAM, f"as-is-{name}")
    try:
        admin.deployed(f"as-is-{name}", archives.app(files), within=LIVE_WITHIN)
        answer = box.ask(f"as-is-{name}", app.path)
        assert answer.status_code == 200
        assert app.words in answer.text
    finally:
        admin.delete_app(f"as-is-{name}")
