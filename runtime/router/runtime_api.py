"""HAProxy's two command sockets: the worker's Runtime API and the master's. Sends text, gives back text; decides nothing."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from runtime.errors import RouterRefused

_LINE = 8_000  # bytes of one command line; HAProxy takes less than its buffer of 16 KiB
_FOUND = re.compile(r'found=yes.*, value="(.*)", type=')
_OPEN = re.compile(r" key=(\S+) .*\bconn_cur=([1-9]\d*)")
_WAIT = 5.0  # seconds for an answer
_READY_WAIT = 20.0  # for a new worker: tens of thousands of slots start in about a second


class RouterDown(Exception):
    """Nobody listens: HAProxy is not running, or is just starting. Its files are complete, so this is no failure."""


class RuntimeApi:
    """One running HAProxy. Each question is a connection of its own, as HAProxy wants it."""

    def __init__(self, worker: Path, master: Path) -> None:
        self._worker = worker
        self._master = master

    def ask(self, command: str) -> str:
        """One line to the worker (several commands joined by `;`), and all it answers. RouterDown: nobody listens."""
        return _exchange(self._worker, command)

    def give(self, command: str, payload: str) -> str:
        """One command with lines of data behind it, none of which may be empty: an empty one ends them."""
        return _exchange(self._worker, f"{command} <<\n{payload.strip()}\n")

    def tell(self, commands: Sequence[str]) -> str:
        """Many commands in as few lines as fit; the answers that are more than an empty line, joined."""
        answers = [self.ask(line) for line in _lines(commands)]
        return " ".join(line for answer in answers for line in answer.splitlines() if line.strip())

    def ask_with_lookups(self, command: str, lookups: Iterable[tuple[Path, str]]) -> tuple[str, list[str | None]]:
        """A command's answer and, for each (map, key), the value or None: one question for all, if they fit."""
        answers = "\n".join(self.ask(line) for line in _lines([command, *(f"get map {path} {key}" for path, key in lookups)]))
        found = [_FOUND.search(line) for line in answers.splitlines() if line.startswith("type=")]
        return answers, [match[1] if match else None for match in found]

    def map(self, path: Path) -> dict[str, str]:
        """A whole map."""
        entries = (line.split(" ", 2) for line in self.ask(f"show map {path}").splitlines())
        return {fields[1]: fields[2] for fields in entries if len(fields) == 3}

    def workers(self) -> list[int]:
        """Process ids of all workers, the current one first; the others finish what they had before a reload."""
        answer = _exchange(self._master, "show proc")
        return [int(line.split()[0]) for line in answer.splitlines() if line.split()[1:2] == ["worker"]]

    def ask_worker(self, pid: int, command: str) -> str:
        """A question to one worker, by way of the master."""
        return _exchange(self._master, f"@!{pid} {command}")

    def reload(self) -> None:
        """Have the master start a worker on the files as they are; returns once that one answers. The old ones end by themselves."""
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
            f"The router did not load its new configuration within {_READY_WAIT:g} s and goes on with the old one.",
            hint="Its output says which line it did not like.",
        )

    def _workers_once_started(self, deadline: float) -> list[int]:
        """The workers; a master that has just forked its first one listens a moment after that one does."""
        while True:
            try:
                return self.workers()
            except RouterDown:
                self.ask("show info")  # RouterDown: there is no worker either
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.01)


def in_flight(answer: str) -> dict[str, int]:
    """Open requests by key, from the answer to `show table`."""
    return {match[1]: int(match[2]) for match in _OPEN.finditer(answer)}


def refused(answer: str) -> int:
    """Connections and sessions that rules turned away, from the answer to `show stat` for one frontend: a line of names, one of values."""
    names, values = (line.split(",") for line in answer.splitlines()[:2])
    told = dict(zip(names, values, strict=True))
    return int(told["dcon"]) + int(told["dses"])


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
                f"The router did not answer within {_WAIT:g} s on {path}.", hint="Restart it; it loses no route by that."
            ) from None
        except OSError as error:  # absent, refused, or gone in mid-answer
            raise RouterDown(f"{path}: {error.strerror}") from None
    return answer.decode(errors="replace")
