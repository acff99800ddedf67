"""The runtime's only module that uses subprocess: run a program to its end, or start one.

This is not a shell and not a job queue. A command is a list of words, and an error shows it in a
form that can be pasted into a shell.
"""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from runtime import cancellation
from runtime.errors import HostLacks, ProcessFailed

Running = subprocess.Popen  # the result of `spawn`, for use in other modules
StillRunning = subprocess.TimeoutExpired  # raised by `Running.wait`
PIPE, NOWHERE = subprocess.PIPE, subprocess.DEVNULL
_CHUNK = 65_536
_POLL_SECONDS = 0.1  # seconds between two calls of the checks
_LAST_LINES = 8  # of stderr, shown in an error


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A program that has ended. `returncode` is negative for a signal, as in subprocess."""

    command: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes


def run(
    command: Sequence[str | Path],
    *,
    input: bytes | None = None,
    timeout: float = 60,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
    on_output: Callable[[bytes], None] | None = None,
    stoppable: bool = False,
    watch: Callable[[], None] | None = None,
    groups: Sequence[Path] = (),
) -> Completed:
    """Run a program to its end and collect both streams. `env` replaces our whole environment.

    `on_output` gets each line of both streams when it arrives, without the newline. `groups` are
    files cgroup.procs of control groups that the program enters before it starts (cgroups(7)).

    Raises ProcessFailed if the status is not 0 (unless `check` is off), or after `timeout` seconds.
    The whole process group is killed at the timeout. It is also killed if `stoppable` is set and
    the surrounding work is cancelled (see runtime.cancellation). `watch` is called several times
    per second, and an exception from it also kills the group.
    """
    words = tuple(str(word) for word in command)
    stdin = subprocess.PIPE if input is not None else subprocess.DEVNULL
    process = spawn(
        _entering(groups, words),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        cwd=cwd,
    )
    try:
        checks = [
            check
            for check in (cancellation.check if stoppable else None, watch)
            if check is not None
        ]
        exchange = _Exchange(process, input or b"", on_output, checks)
        exchange.until_exit(time.monotonic() + timeout)
    except _OutOfTime:
        raise ProcessFailed(
            f"`{shell_line(words)}` did not end within {timeout:g} s and was"
            f" stopped.{_tail(exchange.stderr)}"
        ) from None
    finally:
        _end(process)
    completed = Completed(
        command=words,
        returncode=process.returncode,
        stdout=bytes(exchange.stdout),
        stderr=bytes(exchange.stderr),
    )
    if check and completed.returncode:
        raise ProcessFailed(
            f"`{shell_line(words)}`"
            f" {_outcome(completed.returncode)}.{_tail(completed.stderr or completed.stdout)}"
        )
    return completed


def spawn(
    command: Sequence[str | Path],
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in its own session. The caller waits for it.

    Only its streams and `pass_fds` are open in it.
    """
    words = [str(word) for word in command]
    try:
        return subprocess.Popen(
            words,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            pass_fds=pass_fds,
            close_fds=True,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        if cwd is not None and str(error.filename) == str(cwd):
            raise ProcessFailed(
                f"`{shell_line(words)}` cannot start: the folder {cwd} does not exist."
            ) from None
        raise HostLacks(
            f"The program {words[0]} is not installed on this machine.",
            hint="Install its package, or run `make up`.",
        ) from None
    except PermissionError:
        raise HostLacks(
            f"No permission to run the program {words[0]}.",
            hint="Check its mode and the mount's noexec.",
        ) from None


def shell_line(command: Sequence[str | Path]) -> str:
    """Return the command as a line for a shell."""
    return shlex.join(str(word) for word in command)


def _entering(groups: Sequence[Path], words: Sequence[str]) -> Sequence[str]:
    """Return the command, started by a shell that first enters the groups.

    So no thread of the program can be outside of them.
    """
    if not groups:
        return words
    enter = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 126; shift; done; shift; exec "$@"'
    return ["/bin/sh", "-c", enter, "sh", *(str(group) for group in groups), "--", *words]


class _OutOfTime(Exception):
    """The program reached its timeout."""


class _Exchange:
    """Writes stdin and reads both outputs until the program itself ends.

    It does not wait for a grandchild that keeps the pipes open.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        input: bytes,
        on_output: Callable[[bytes], None] | None,
        checks: Sequence[Callable[[], None]],
    ) -> None:
        self.stdout, self.stderr = bytearray(), bytearray()
        self._checks = checks
        self._process, self._input, self._on_output = process, memoryview(input), on_output
        self._partial = {id(self.stdout): b"", id(self.stderr): b""}

    def until_exit(self, deadline: float) -> None:
        streams = {self._process.stdout: self.stdout, self._process.stderr: self.stderr}
        pidfd = os.pidfd_open(self._process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(pidfd, selectors.EVENT_READ, "exit")
                for pipe, into in streams.items():
                    assert pipe is not None
                    os.set_blocking(pipe.fileno(), False)
                    selector.register(pipe, selectors.EVENT_READ, into)
                if self._process.stdin is not None:
                    os.set_blocking(self._process.stdin.fileno(), False)
                    selector.register(self._process.stdin, selectors.EVENT_WRITE, "input")
                while not self._step(selector, deadline):
                    pass
        finally:
            os.close(pidfd)
        for into in (self.stdout, self.stderr):
            if self._on_output and (rest := self._partial[id(into)]):
                self._on_output(rest)

    def _step(self, selector: selectors.BaseSelector, deadline: float) -> bool:
        """Handle ready events. Return true when the program has ended and its pipes are empty."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise _OutOfTime
        for check in self._checks:
            check()
            left = min(left, _POLL_SECONDS)
        exited = False
        for key, _ in selector.select(left):
            if key.data == "exit":
                exited = True
            elif key.data == "input":
                self._feed(selector, key.fd)
            elif not self._drain(key.fd, key.data):
                selector.unregister(key.fileobj)
        if exited:
            for key in list(selector.get_map().values()):
                if isinstance(key.data, bytearray):
                    self._drain(key.fd, key.data)
        return exited

    def _feed(self, selector: selectors.BaseSelector, fd: int) -> None:
        assert self._process.stdin is not None
        try:
            self._input = self._input[os.write(fd, self._input[:_CHUNK]) :]
        except BrokenPipeError:
            self._input = self._input[:0]
        if not self._input:
            selector.unregister(self._process.stdin)
            self._process.stdin.close()

    def _drain(self, fd: int, into: bytearray) -> bool:
        """Read all available output. Return false at the end of the stream."""
        while True:
            try:
                chunk = os.read(fd, _CHUNK)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            into += chunk
            if self._on_output:
                *lines, self._partial[id(into)] = (self._partial[id(into)] + chunk).split(b"\n")
                for line in lines:
                    self._on_output(line)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the program's pipes. If it has not ended by itself, kill its process group."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()  # it has ended, but was not waited for
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None and not pipe.closed:
            pipe.close()


def _outcome(returncode: int) -> str:
    if returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"exited with {returncode}"


def _tail(output: bytes | bytearray) -> str:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()][
        -_LAST_LINES:
    ]
    return " It said: " + "\n".join(lines) if lines else ""
