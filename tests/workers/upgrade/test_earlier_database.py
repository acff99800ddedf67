"""This tree migrates a database that the tree before the renaming of the code wrote.

`earlier/database.sql` has the database, with a row of each model and of almost each choice.
`earlier/rows.json` has these rows as the earlier tree's own `dumpdata` printed them.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.tree import ROOT

EARLIER = Path(__file__).parent / "earlier"
NOT_COMPARED = ["--exclude", "contenttypes", "--exclude", "auth.permission"]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with the database of the earlier tree."""
    state = tmp_path / "state"
    for part in ("db", "secrets"):
        (state / part).mkdir(parents=True)
    for name in ("django.key", "config.key"):
        (state / "secrets" / name).write_bytes(base64.urlsafe_b64encode(bytes(32)))
    database = sqlite3.connect(state / "db" / "slipway.sqlite3")
    database.executescript((EARLIER / "database.sql").read_text())
    database.close()
    return state


def manage(state: Path, *arguments: str) -> str:
    """Run a command of manage.py on the state folder, as `make up` does."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLIPWAY_", "DJANGO_"))
    }
    environment.update(
        SLIPWAY_STATE=str(state), SLIPWAY_RUN=str(state / "run"), DATABASE_URL="", REDIS_URL=""
    )
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_database_is_migrated_and_keeps_every_row(state: Path) -> None:
    manage(state, "migrate", "--noinput", "--verbosity", "0")
    assert "[ ]" not in manage(state, "showmigrations", "--plan")
    rows = _rows(manage(state, "dumpdata", *NOT_COMPARED))
    before = _rows((EARLIER / "rows.json").read_text())
    assert rows.keys() == before.keys()
    for key, fields in before.items():
        assert fields.items() <= rows[key].items(), key


def test_the_sample_has_every_choice_of_the_kinds_that_were_relabelled() -> None:
    rows = json.loads((EARLIER / "rows.json").read_text())
    found = {
        (model, field): {row["fields"][field] for row in rows if row["model"] == model}
        for model, field in (
            ("apps.healthsettings", "kind"),
            ("builds.source", "kind"),
            ("domains.domain", "state"),
            ("images.imagejob", "kind"),
            ("traffic.trafficsettings", "way"),
        )
    }
    assert found == {
        ("apps.healthsettings", "kind"): {"http", "tcp", "command"},
        ("builds.source", "kind"): {"archive", "pushed", "referred"},
        ("domains.domain", "state"): {"waiting", "verified", "unproven"},
        ("images.imagejob", "kind"): {"compare", "written", "commit", "save"},
        ("traffic.trafficsettings", "way"): {"rolling", "blue-green", "canary", "recreate"},
    }


def _rows(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["model"], str(row["pk"])): row["fields"] for row in json.loads(text)}
