"""Requests without pause, from wrk, with their number and the number that failed."""

import json
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from runtime.process import spawn

# `errors.status` counts answers from 400 up (wrk's SCRIPTING document).
SUMMARY = """
function done(summary, latency, requests)
  local e = summary.errors
  io.stderr:write(string.format('{"requests": %d, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\\n',
    summary.requests, e.connect, e.read, e.write, e.status, e.timeout))
end
"""  # noqa: E501


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    requests: int
    failed: int
    how: str  # wrk's own counts, for the message of a failed assertion


class Load:
    """Load on an app: `with Load(port, host) as load: …`, then `load.tally`.

    Without `keep_alive` each request has its own connection.
    """

    def __init__(
        self,
        port: int,
        host: str,
        *,
        connections: int = 8,
        path: str = "/",
        keep_alive: bool = True,
    ) -> None:
        self._port, self._connections, self._path = port, connections, path
        self._headers = [
            "-H",
            f"Host: {host}",
            *([] if keep_alive else ["-H", "Connection: close"]),
        ]
        self._folder = tempfile.TemporaryDirectory(prefix="slipway-load-")
        self.tally = Tally(requests=0, failed=0, how="not ended")

    def __enter__(self) -> Self:
        script = Path(self._folder.name) / "summary.lua"
        script.write_text(SUMMARY)
        self._told = (Path(self._folder.name) / "told").open("wb+")
        url = f"http://127.0.0.1:{self._port}{self._path}"
        self._process = spawn(
            [
                "wrk",
                "-t1",
                f"-c{self._connections}",
                "-d3600s",
                "--timeout",
                "40s",
                *self._headers,
                "-s",
                script,
                url,
            ],
            stdout=self._told,
            stderr=self._told,
        )
        time.sleep(0.3)  # it connects: the measurement must begin under load
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)
        self._told.seek(0)
        output = self._told.read().decode()
        self._told.close()
        self._folder.cleanup()
        line = next((line for line in output.splitlines() if line.startswith("{")), None)
        assert line is not None, f"wrk printed no counts: {output}"
        counts = json.loads(line)
        requests = counts.pop("requests")
        self.tally = Tally(requests=requests, failed=sum(counts.values()), how=f"{line} {output}")
