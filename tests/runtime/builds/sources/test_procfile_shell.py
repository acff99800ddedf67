"""Tests of the shell that runs a line of the Procfile: bash where the image has it, else sh."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runtime.converge.container_spec import command_of
from tests.runtime.builds.conftest import Forge
from tests.runtime.builds.test_builds import get, served

TELLS_ITS_ENVIRONMENT = """
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(dict(os.environ)).encode())
HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Page).serve_forever()
"""


@pytest.mark.parametrize("has_bash", [True, False])
def test_a_line_runs_in_bash_where_the_image_has_it(has_bash: bool, tmp_path: Path) -> None:
    command = command_of('echo "${BASH_VERSION:+bash}"')
    if not has_bash:
        command = tuple(word.replace("/bin/bash", str(tmp_path / "bash")) for word in command)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ("bash" if has_bash else "")


def test_the_exit_code_of_a_line_is_kept() -> None:
    assert [
        subprocess.run(command_of(line)).returncode for line in ("exit 7", "false", "true")
    ] == [
        7,
        1,
        0,
    ]


def test_a_procfile_may_use_bash(forge: Forge) -> None:
    files = {
        "Procfile": (
            'web: source ./env.sh && echo "port starts with ${PORT:0:2}" && exec python3 app.py\n'
        ),
        "env.sh": "export A=1\n",
        "app.py": TELLS_ITS_ENVIRONMENT,
    }
    built = forge.build(files)
    assert forge.store.image(built.digest).config.command[0] == "/bin/bash"
    with served(forge, built) as url:
        assert '"A": "1"' in get(url)[1]
        assert "port starts with 50" in forge.containers.log_path("served").read_text()
