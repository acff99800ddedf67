"""Set-up starts on a machine that has Python alone, because it installs the packages."""

from __future__ import annotations

import subprocess
import sys

from tests.architecture.tree import ROOT


def test_set_up_starts_without_any_package() -> None:
    started = subprocess.run(
        [sys.executable, "-S", "-c", "import workers.setup.__main__"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert started.returncode == 0, started.stderr
