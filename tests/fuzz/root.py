"""Start of a worker in a throw-away root (root.sh).

An escape changes only a layer in memory there.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from runtime.process import run

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "var" / "fuzz"  # the corpus and crashing inputs stay here
PACKAGES = RESULTS / "python"  # atheris


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    said: str


def in_root(*words: str, seconds: float) -> Ended:
    """Run `python -m tests.fuzz.worker WORDS` for at most this many seconds."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}:{PACKAGES}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis",
        "LANG": "C.UTF-8",
    }
    with tempfile.TemporaryDirectory(prefix="slipway-fuzz-") as place:
        namespaces = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--net",
            "--ipc",
            "--kill-child",
            "--propagation",
            "private",
        ]
        command = [
            *namespaces,
            ROOT / "tests" / "fuzz" / "root.sh",
            place,
            ROOT,
            RESULTS,
            sys.executable,
            "-m",
            "tests.fuzz.worker",
            *words,
        ]
        done = run(command, cwd=ROOT, env=environment, timeout=seconds, check=False)
    return Ended(done.returncode, (done.stdout + done.stderr).decode(errors="replace"))
