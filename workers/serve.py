"""`python -m workers.serve NAME`: one worker process.

It starts Celery without Celery's command line, which would take 10 MB more.
"""

from __future__ import annotations

import sys

from workers.celery import app

WORKERS = {  # name: queues, and number of tasks at once
    "worker-build": (("build",), 2),
    # A rollout occupies a thread while its app boots, which costs little.
    "worker-node": (("node", "upkeep"), 12),
}


def main(name: str) -> int:
    """Serve until SIGTERM. Running tasks then finish first (Celery's warm shutdown)."""
    queues, at_once = WORKERS[name]
    worker = app.Worker(
        hostname=name,
        queues=list(queues),
        concurrency=at_once,
        pool_cls="threads",
        loglevel="INFO",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
