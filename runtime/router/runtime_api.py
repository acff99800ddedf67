"""Client of HAProxy's command sockets: the worker's Runtime API and the master's.

It sends commands and returns the answers; it makes no decisions.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from runtime.errors import RouterRefused

_LINE = 8_000  # bytes of a command line; HAProxy's limit is below its buffer of 16 KiB
_FOUND = re.compile(r'found=yes.*, value="(.*)", type=')
_OPEN = re.compile(r" key=(\S+) .*\bconn_cur=([1-9]\d*)")
_WAIT = 5.0  # seconds; timeout of an answer
_READY_WAIT = 20.0  # seconds for a new worker; tens of thousands of slots start in about one


class RouterDown(Exception):
    """HAProxy is not running, or is starting.

    This is not a failure, because its files are complete.
    """


class RuntimeApi:
    """A running HAProxy. Each command uses its own connection, as HAProxy requires."""

    def __init__(self, worker: Path, master: Path) -> None:
        self._worker = worker
        self._master = master

    def ask(self, command: str) -> str:
        """Send one line to the worker, and return its answer.

        A line may hold several commands, joined by `;`. Raise RouterDown if HAProxy does not
        listen.
        """
        return _exchange(self._worker, command)

    def send_payload(self, command: str, payload: str) -> str:
        """Send one command with lines of data after it.

        No line may be empty: an empty line ends the data.
        """
        return _exchange(self._worker, f"{command} <<\n{payload.strip()}\n")

    def send_commands(self, commands: Sequence[str]) -> str:
        """Send commands in as few lines as possible.

        Return the answers' non-empty lines, joined.
        """
        answers = [self.ask(line) for line in _lines(commands)]
        return " ".join(line for answer in answers for line in answer.splitlines() if line.strip())

    def ask_with_lookups(
        self, command: str, lookups: Iterable[tuple[Path, str]]
    ) -> tuple[str, list[str | None]]:
        """Return a command's answer and, for each (map, key), the value or None.

        All lookups are in the same line if they fit.
        """
        answers = "\n".join(
            self.ask(line)
            for line in _lines([command, *(f"get map {path} {key}" for path, key in lookups)])
        )
        found = [_FOUND.search(line) for line in answers.splitlines() if line.startswith("type=")]
        return answers, [match[1] if match else None for match in found]

    def map(self, path: Path) -> dict[str, str]:
        """Return all entries of a map."""
        entries = (line.split(" ", 2) for line in self.ask(f"show map {path}").splitlines())
        return {fields[1]: fields[2] for fields in entries if len(fields) == 3}

    def workers(self) -> list[int]:
        """Return the process ids of all workers, the current one first.

        The others finish their requests from before a reload.
        """
        answer = _exchange(self._master, "show proc")
        return [
            int(line.split()[0]) for line in answer.splitlines() if line.split()[1:2] == ["worker"]
        ]

    def ask_worker(self, pid: int, command: str) -> str:
        """Send a command to one worker through the master."""
        return _exchange(self._master, f"@!{pid} {command}")

    def reload(self) -> None:
        """Make the master start a worker with the current files. Return once that worker answers.

        Old workers exit by themselves.
        """
        deadline = time.monotonic() + _READY_WAIT
        before = self._workers_once_started(deadline)
        _exchange(self._master, "reload")
        while time.monotonic() < deadline:
            time.sleep(0.01)
            try:
                fresh = [pid for pid in self.workers() if pid not in before]
                if fresh and f"\nPid: {fresh[0]}\n" in self.ask("show info"):
                    return
            except RouterDown:
                continue
        raise RouterRefused(
            f"HAProxy did not load its new configuration within {_READY_WAIT:g} s and continues"
            " with the old one.",
            hint="HAProxy's output names the line that it rejected.",
        )

    def _workers_once_started(self, deadline: float) -> list[int]:
        """Return the workers.

        A master that has just forked its first worker may listen later than that worker.
        """
        while True:
            try:
                return self.workers()
            except RouterDown:
                self.ask("show info")  # RouterDown: no worker listens either
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.01)


def in_flight(answer: str) -> dict[str, int]:
    """Return the number of open requests by key, from the answer to `show table`."""
    return {match[1]: int(match[2]) for match in _OPEN.finditer(answer)}


def refused(answer: str) -> int:
    """Return how many connections and sessions the rules rejected.

    `answer` is HAProxy's to `show stat` for one frontend: a line of names and a line of values.
    """
    names, values = (line.split(",") for line in answer.splitlines()[:2])
    columns = dict(zip(names, values, strict=True))
    return int(columns["dcon"]) + int(columns["dses"])


def _lines(commands: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for command in commands:
        if lines and len(lines[-1]) + len(command) < _LINE:
            lines[-1] += f"; {command}"
        else:
            lines.append(command)
    return lines


def _exchange(path: Path, line: str) -> str:
    answer = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(_WAIT)
        try:
            connection.connect(str(path))
            connection.sendall(line.encode() + b"\n")
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65_536):
                answer += chunk
        except TimeoutError:
            raise RouterRefused(
                f"HAProxy did not answer within {_WAIT:g} s on {path}.",
                hint="Restart it; it keeps all routes.",
            ) from None
        except OSError as error:  # no socket, connection refused, or closed during the answer
            raise RouterDown(f"{path}: {error.strerror}") from None
    return answer.decode(errors="replace")
