"""Names that operators and API clients use still work as in the tree before the renaming of the
code.

`earlier/api.json` has the shape of its OpenAPI document, `earlier/settings.json` an environment and
the settings that it read from this.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands
from django.test import Client

from runtime.config import from_environment
from tests.architecture.tree import ROOT
from workers.celery import app as celery

EARLIER = Path(__file__).parent / "earlier"
API = json.loads((EARLIER / "api.json").read_text())
SETTINGS = json.loads((EARLIER / "settings.json").read_text())
TASKS = [
    "apply_quota",
    "autoscale",
    "build",
    "check_domain",
    "collect_garbage",
    "converge",
    "converge_all",
    "image_job",
    "instance_ended",
    "order_certificates",
    "publish_images",
    "remove_app",
    "roll_out",
    "runs_ended",
    "take_up_lost",
    "tend_certificate",
    "tend_domains",
    "tend_runs",
    "tick",
    "tidy_up",
    "upgrade_stack",
    "watch_disk",
]
PRINT_SETTINGS = """
import json, sys
from portal import settings
print(json.dumps({name: str(getattr(settings, name)) for name in json.load(sys.stdin)}))
"""


@pytest.fixture
def document(db: None) -> Any:
    return Client().get("/api/openapi.json").json()


def test_the_api_has_every_earlier_path_parameter_and_response(document: Any) -> None:
    for path, methods in API["paths"].items():
        for method, before in methods.items():
            operation = document["paths"][path][method]
            parameters = {
                f"{parameter['in']}:{parameter['name']}"
                for parameter in operation.get("parameters", [])
            }
            assert set(before["parameters"]) <= parameters, (path, method)
            assert set(before["responses"]) <= set(operation["responses"]), (path, method)


def test_the_api_has_every_earlier_field_and_requires_no_other(document: Any) -> None:
    schemas = document["components"]["schemas"]
    for name, before in API["schemas"].items():
        assert before.keys() <= schemas[name].get("properties", {"": None}).keys(), name
        if name.endswith("In"):
            assert set(schemas[name].get("required", [])) <= set(API["required"].get(name, [])), (
                name
            )


def test_every_earlier_setting_of_a_node_is_read() -> None:
    config = from_environment(SETTINGS["environment"])
    read = {name: getattr(config, name) for name in SETTINGS["node"]}
    assert {
        name: str(value) if isinstance(value, str | int) else repr(value)
        for name, value in read.items()
    } == SETTINGS["node"]


def test_every_earlier_setting_of_the_portal_is_read() -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLIPWAY_", "DJANGO_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", PRINT_SETTINGS],
        env={**environment, **SETTINGS["environment"], "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}"},
        input=json.dumps(list(SETTINGS["portal"])),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    of_static_files = {"WHITENOISE_USE_FINDERS"}  # depends on whether files are collected here
    read = json.loads(done.stdout)
    assert read.keys() == SETTINGS["portal"].keys()
    for name in read.keys() - of_static_files:
        assert read[name] == SETTINGS["portal"][name], name


def test_every_variable_of_the_earlier_env_file_is_still_in_it() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    names = {line.split("=")[0] for line in lines if "=" in line and not line.startswith("#")}
    assert SETTINGS["in_env_file"] == sorted(set(SETTINGS["in_env_file"]) & names)


def test_tasks_that_an_earlier_portal_queued_are_known() -> None:
    celery.loader.import_default_modules()
    assert {f"slipway.{name}" for name in TASKS} <= celery.tasks.keys()


def test_the_management_commands_have_their_names() -> None:
    assert set(SETTINGS["commands"]) <= get_commands().keys()
