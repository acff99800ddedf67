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


def test_the_supervisor_starts_without_django_s_models() -> None:
    """It starts before anything has set Django up, and again at 100 % of the disk."""
    started = subprocess.run(
        [sys.executable, "-c", "import workers.supervisor.main"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'platform'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert started.returncode == 0, started.stderr
