"""`python -m workers.serve NAME`: one worker process. Celery without its command line, which would cost ten megabytes more."""

from __future__ import annotations

import sys

from workers.celery import app

WORKERS = {  # name: queues, and how many tasks at once
    "worker-build": (("build",), 2),
    "worker-node": (("node", "upkeep"), 12),  # a rollout holds one while its app boots, which costs nothing but the place
}


def main(name: str) -> int:
    """Serve until SIGTERM, which lets tasks at hand end (Celery's warm shutdown)."""
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
