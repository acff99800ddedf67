"""Compiled modules (__pycache__) of the platform and its packages.

The portal's user may not write into the folders of the code, and PYTHONDONTWRITEBYTECODE may be
set in the shell. A process that must compile its modules takes 4 MB more as long as it runs, and
starts more slowly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.process import run
from workers.setup.python import LOCK
from workers.setup.steps import step
from workers.setup.tree import PYTHON, ROOT, VENV, fingerprint, is_done, mark_done

OURS = tuple(ROOT / name for name in ("platform", "runtime", "workers"))
_STAMP = VENV / ".slipway-bytecode"
_SECONDS = 300.0


def ensure_bytecode(environment: Mapping[str, str]) -> None:
    """Compile what changed: our own modules each time, the packages after the lock file changed."""
    compile_folders(OURS, environment)
    wanted = fingerprint([LOCK], str(ROOT))
    if is_done(_STAMP, wanted):
        return
    with step("Compile Python packages"):
        compile_folders(tuple(VENV.glob("lib/python3*/site-packages")), environment)
        mark_done(_STAMP, wanted)


def compile_folders(folders: Sequence[Path], environment: Mapping[str, str]) -> None:
    """Compile every module below these folders.

    A module that this Python cannot compile, such as a package's test data, is left out.
    """
    run(
        [PYTHON, "-m", "compileall", "-q", "-j", "0", *folders],
        check=False,
        timeout=_SECONDS,
        env=environment,
    )
