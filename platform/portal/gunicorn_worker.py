"""The portal's gunicorn worker: uvicorn's worker, which also ends when its parent was killed.

Otherwise a killed gunicorn would leave a worker that receives no requests and never ends.
"""

from __future__ import annotations

import os
import signal
from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker

import portal.asgi  # noqa: F401  # sets up Django
from portal.gitserver import leftovers


class Worker(UvicornWorker):  # type: ignore[misc]  # the package ships no types
    """Checks its parent once per second. At shutdown, open event streams delay it only shortly."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        **UvicornWorker.CONFIG_KWARGS,
        "timeout_notify": 1,
        "timeout_graceful_shutdown": 3,
    }

    def init_process(self) -> None:
        """Remove leftovers of a killed predecessor. This runs here because gunicorn imports the
        application only in the parent."""
        leftovers.sweep()
        super().init_process()

    async def callback_notify(self) -> None:
        await super().callback_notify()
        if os.getppid() != self.ppid:
            os.kill(os.getpid(), signal.SIGTERM)
