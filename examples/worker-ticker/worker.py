"""A worker process without a port: it logs a tick each second."""

import itertools
import signal
import sys
import time
from datetime import UTC, datetime
from types import FrameType


def stop(_signal: int, _frame: FrameType | None) -> None:
    print("worker stops", flush=True)
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    begun = time.monotonic()
    for number in itertools.count(1):
        print(f"tick {number} at {datetime.now(UTC):%H:%M:%S}", flush=True)
        time.sleep(max(0.0, begun + number - time.monotonic()))
