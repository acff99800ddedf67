"""A client that sends 200 requests per second on kept connections, and prints their times as JSON.

`python -m bench.neighbour_client PORT HOST SECONDS`. The times are in milliseconds. Each request
has its own due time, which does not depend on earlier requests. The client has real-time priority
(sched(7)), like a client on another machine, so that only the server side is measured. A request
that waits for its connection counts from its due time.
"""

import asyncio
import contextlib
import json
import os
import sys
import time

RATE, CONNECTIONS = 200, 20
FAILED = 60_000  # milliseconds recorded for a failed request


async def ask(port: int, host: str, due: list[float], times: list[float]) -> None:
    """Send the requests of one connection. A failed request is recorded as `FAILED`."""
    request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for moment in due:
        await asyncio.sleep(max(moment - time.monotonic(), 0))
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise ConnectionError(head[:80])
            await reader.readexactly(2)
            times.append((time.monotonic() - moment) * 1000)
        except (OSError, asyncio.IncompleteReadError):
            times.append(FAILED)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def load(port: int, host: str, seconds: float) -> list[float]:
    times: list[float] = []
    begin = time.monotonic() + 0.2
    moments = [begin + number / RATE for number in range(int(seconds * RATE))]
    await asyncio.gather(
        *(ask(port, host, moments[number::CONNECTIONS], times) for number in range(CONNECTIONS))
    )
    return times


if __name__ == "__main__":
    with contextlib.suppress(PermissionError):  # then it runs with normal priority
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    print(json.dumps(asyncio.run(load(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))))
