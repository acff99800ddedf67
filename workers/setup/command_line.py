"""The wheel of the command line (cli/), which the portal offers for download.

It is skipped while its sources have not changed. Its version ends in their fingerprint, because
installers keep a wheel by its name.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from runtime.process import run
from workers.setup.steps import step
from workers.setup.tree import PYTHON, ROOT, VENV, fingerprint, is_done, mark_done

SOURCE = ROOT / "cli"
BUILT = ROOT / "build" / "cli"  # `portal.settings` serves it below /static/
_STAMP = ROOT / "build" / ".slipway-cli"
_VERSION = re.compile(r'^(__version__ = "[0-9.]+)"$', re.MULTILINE)
_TIMEOUT = 120.0  # seconds


def ensure_command_line(environment: Mapping[str, str]) -> None:
    """Build the wheel, alone in its folder. Raises ProcessFailed if the build fails."""
    sources = [SOURCE / "pyproject.toml", SOURCE / "README.md", *SOURCE.rglob("*.py")]
    wanted = fingerprint(sources)
    if is_done(_STAMP, wanted) and any(BUILT.glob("*.whl")):
        return
    with step("Command line") as current, tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "cli"  # setuptools leaves files next to the sources
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        version = copy / "slipway_cli" / "__init__.py"
        text = version.read_text("utf-8")
        version.write_text(_VERSION.sub(rf'\1+{wanted[:8]}"', text), "utf-8")
        shutil.rmtree(BUILT, ignore_errors=True)
        run(
            [
                *(str(VENV / "bin" / "uv"), "build", "--wheel", "--no-build-isolation"),
                *("--python", str(PYTHON), "--out-dir", str(BUILT), str(copy)),
            ],
            env=environment,
            timeout=_TIMEOUT,
            on_output=current.output,
        )
        mark_done(_STAMP, wanted)
