"""The portal's worker under gunicorn: uvicorn's, which also notices that its parent was killed.

Without that a killed gunicorn leaves a worker behind that nobody reaches and nobody ends.
"""

from __future__ import annotations

import os
import signal
from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker

import portal.asgi  # noqa: F401  # sets Django up
from portal.gitserver import leftovers


class Worker(UvicornWorker):  # type: ignore[misc]  # its package ships no types
    """Looks up once a second, and on its way out lets no open event stream hold it for long."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {**UvicornWorker.CONFIG_KWARGS, "timeout_notify": 1, "timeout_graceful_shutdown": 3}

    def init_process(self) -> None:
        """Begin by removing what a killed predecessor left: gunicorn imports the application once, in the parent."""
        leftovers.sweep()
        super().init_process()

    async def callback_notify(self) -> None:
        await super().callback_notify()
        if os.getppid() != self.ppid:
            os.kill(os.getpid(), signal.SIGTERM)
