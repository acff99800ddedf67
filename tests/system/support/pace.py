"""Requests at a steady rate from a separate process.

Each response has its time, duration and status.

wrk (tests/system/support/load.py) only counts. These times relate failures to events.
"""

import http.client
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.process import spawn

ROOT = Path(__file__).parents[3]
PATIENCE = 40  # seconds to wait for a response: longer than the router holds a request


@dataclass(frozen=True, slots=True)
class Answer:
    at: float  # time.monotonic() when the request was sent
    took: float  # seconds
    host: str
    status: int  # 0: no response

    @property
    def failed(self) -> bool:
        return self.status == 0 or self.status >= 500


class Pace:
    """Steady requests: `with Pace(port, hosts) as pace: …`, then `pace.answers`.

    `rate` is requests per second to each host, over kept connections. `fresh` adds as many requests
    that have a new connection each.
    """

    def __init__(
        self,
        port: int,
        hosts: Sequence[str],
        *,
        rate: int = 200,
        connections: int = 4,
        fresh: bool = False,
    ) -> None:
        self._words = [str(port), str(rate), str(connections), str(int(fresh)), *hosts]
        self._folder = tempfile.TemporaryDirectory(prefix="slipway-load-")
        self._file = Path(self._folder.name) / "answers"
        self.answers: list[Answer] = []

    def __enter__(self) -> Self:
        bound = ("setpriv", "--pdeathsig", "TERM", "--")  # it ends with its parent in every case
        self._process = spawn(
            [
                *bound,
                sys.executable,
                "-m",
                "tests.system.support.pace",
                str(self._file),
                *self._words,
            ],
            cwd=ROOT,
            stderr=subprocess.PIPE,
        )
        time.sleep(0.5)  # it connects: the measurement must begin under load
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        _, errors = self._process.communicate(timeout=PATIENCE + 10)
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        self._folder.cleanup()
        assert lines, f"no request was sent: {errors.decode()[-2000:]}"
        self.answers = [
            Answer(float(at), float(took), host, int(status))
            for at, took, host, status in (line.split() for line in lines)
        ]


def percentile(answers: Sequence[Answer], percent: int) -> float:
    """Return the milliseconds that `percent` of all responses took at most."""
    return statistics.quantiles(
        [answer.took * 1000 for answer in answers], n=100, method="inclusive"
    )[percent - 1]


def main(words: Sequence[str]) -> None:
    """Send until SIGTERM, then write a line per response."""
    file, port, rate, connections, fresh, *hosts = words
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    results: list[list[str]] = []
    senders = []
    for host in hosts:
        for kept in (True, False) if fresh == "1" else (True,):
            for number in range(int(connections)):
                lines: list[str] = []
                results.append(lines)
                interval = int(connections) / int(rate)
                arguments = (
                    int(port),
                    host,
                    interval,
                    interval * number / int(connections),
                    kept,
                    lines,
                    over,
                )
                senders.append(threading.Thread(target=_send, args=arguments, daemon=True))
    for sender in senders:
        sender.start()
    over.wait()
    deadline = time.monotonic() + PATIENCE
    for sender in senders:
        sender.join(max(0, deadline - time.monotonic()))
    Path(file).write_text("".join(line for lines in results for line in lines))


def _send(
    port: int,
    host: str,
    interval: float,
    offset: float,
    kept: bool,
    lines: list[str],
    over: threading.Event,
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    due = time.monotonic() + offset
    while not over.wait(max(0, due - time.monotonic())):
        due = max(
            due + interval, time.monotonic() - 1
        )  # after a pause, do not send all missed requests at once
        begun = time.monotonic()
        status = _ask(connection, host, kept)
        lines.append(f"{begun:.6f} {time.monotonic() - begun:.6f} {host} {status}\n")


def _ask(connection: http.client.HTTPConnection, host: str, kept: bool) -> int:
    """Send a request and return its status.

    A kept connection that was closed before the first byte of a response is opened again once, as
    every client does.
    """
    for attempt in (1, 2):
        reused = connection.sock is not None
        try:
            connection.request(
                "GET", "/", headers={"Host": host, "Connection": "keep-alive" if kept else "close"}
            )
            answer = connection.getresponse()
            answer.read()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            connection.close()
            if not reused or attempt == 2:
                return 0
        except (OSError, http.client.HTTPException):
            connection.close()
            return 0
        else:
            return answer.status
    return 0


if __name__ == "__main__":
    main(sys.argv[1:])
