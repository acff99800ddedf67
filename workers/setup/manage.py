"""Commands of Django, as processes of their own: what takes the portal's rows or the runtime is not in the foreground's memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from runtime.errors import ProcessFailed
from runtime.process import spawn
from workers.setup.tree import MANAGE, PYTHON, ROOT


def manage(environment: Mapping[str, str], *words: str) -> None:
    """Run one on our own terminal, and wait; ProcessFailed when it fails (it has told why)."""
    process = spawn([PYTHON, MANAGE, *words], env=environment, cwd=ROOT)
    try:
        status = process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    if status:
        raise ProcessFailed(f"`manage.py {' '.join(words)}` did not succeed; its last lines are above.")
