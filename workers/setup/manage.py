"""Django commands, each run as its own process.

So the memory of the portal's models and of the runtime does not remain in the foreground process.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from runtime.errors import ProcessFailed
from runtime.process import spawn
from workers.setup.tree import MANAGE, PYTHON, ROOT


def manage(environment: Mapping[str, str], *words: str) -> None:
    """Run a Django command on this terminal, and wait for it.

    Raises ProcessFailed if it fails. The command has then printed the reason.
    """
    process = spawn([PYTHON, MANAGE, *words], env=environment, cwd=ROOT)
    try:
        status = process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    if status:
        raise ProcessFailed(f"`manage.py {' '.join(words)}` failed; its last lines are above.")
