"""Plan the commands `uv run`, `poetry run` and `pipenv run` of images.

An image has no package managers. Its commands are on the PATH, so `run` only has to start them.
Pure.
"""

from __future__ import annotations

import re

from runtime.builds.languages.language import Inputs
from runtime.builds.languages.python_build.on_code import VENV
from runtime.builds.languages.python_files import decides
from runtime.builds.steps import TEXTS, Install, Tool

_RUN = re.compile(r"(?<![\w/.-])(uv|poetry|pipenv)[ \t]+run\b")
# Options before the command that take a value as the next word.
PROGRAM = """#!/opt/venv/bin/python3
import os
import shlex
import sys

WITH_VALUE = {
    *("--with", "--with-requirements", "--with-editable", "--extra", "--group", "--no-group"),
    *("--only-group", "--python", "-p", "--env-file", "--package", "--project", "--directory"),
    *("--index", "--default-index", "--cache-dir", "--config-file", "-C", "-P"),
}


def skip_options(words):
    module = False
    while words and words[0].startswith("-") and words[0] != "--":
        word = words.pop(0)
        module = module or word in ("-m", "--module")
        if word in WITH_VALUE and words:
            words.pop(0)
    if words and words[0] == "--":
        words.pop(0)
    return module


def of_pipfile(name):
    import tomllib

    with open("/app/Pipfile", "rb") as file:
        script = tomllib.load(file).get("scripts", {}).get(name)
    if isinstance(script, dict):
        script = script.get("cmd")
    return shlex.split(script) if script else [name]


tool, words = os.path.basename(sys.argv[0]), sys.argv[1:]
skip_options(words)
if not words or words.pop(0) != "run":
    sys.exit(f"{tool}: an image has only `{tool} run COMMAND`. The build installs packages.")
module = skip_options(words)
if not words:
    sys.exit(f"{tool} run: write the command.")
if module:
    words = ["python", "-m", *words]
elif tool == "pipenv" and os.path.exists("/app/Pipfile"):
    words = [*of_pipfile(words[0]), *words[1:]]
elif words[0].endswith(".py") and tool == "uv":
    words = ["python", *words]
try:
    os.execvp(words[0], words)
except OSError as error:
    sys.exit(f"{tool} run: {words[0]}: {error.strerror}")
"""


def steps(inputs: Inputs) -> tuple[Install, ...]:
    """Return the step that adds the commands that the processes name.

    A tool that is a dependency itself stays as it is.
    """
    if not decides(inputs.source):
        return ()
    lines = "\n".join(inputs.commands.values())
    tools = sorted({match[1] for match in _RUN.finditer(lines)})
    if not tools:
        return ()
    copies = " && ".join(
        f"{{ [ -e {VENV}/bin/{tool} ] || install -m 755 {TEXTS}/run.py {VENV}/bin/{tool}; }}"
        for tool in tools
    )
    return (
        Install(
            name="Commands",
            tool=Tool.SHELL,
            files=(),
            whole=False,
            command=f"mkdir -p {VENV}/bin && {copies}",
            says=" and ".join(f"{tool} run" for tool in tools),
            keep=("opt/venv",),
            texts=(("run.py", PROGRAM),),
        ),
    )
