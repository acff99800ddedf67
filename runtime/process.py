"""The runtime's only door to subprocess: run a program to its end, or start a long-lived one.

Not a shell and not a job queue: a command is a list of words, and a failure names it in a form that can be pasted.
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

Running = subprocess.Popen  # what `spawn` gives; names for use outside this door
StillRunning = subprocess.TimeoutExpired  # what waiting for it raises
PIPE, NOWHERE = subprocess.PIPE, subprocess.DEVNULL
_CHUNK = 65_536
_LOOK = 0.1  # seconds between two questions whether to go on
_LAST_LINES = 8  # of stderr, told in a failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A program that ended: `returncode` is negative for a signal, as in subprocess."""

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
    """Run to the end and collect both streams; `env` replaces ours whole.

    `on_output` gets each line of both streams as it arrives, without its newline. ProcessFailed: a status other than 0
    (unless `check` is off), or `timeout` seconds passed, after which the whole process group is killed. So it is when it is `stoppable`
    and what it is part of is cancelled (see runtime.cancellation). `watch` is asked a few times a second; what it raises ends the program, too.
    `groups` are files cgroup.procs of control groups that the program is in before it starts (cgroups(7)).
    """
    words = tuple(str(word) for word in command)
    stdin = subprocess.PIPE if input is not None else subprocess.DEVNULL
    process = spawn(_entering(groups, words), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=cwd)
    try:
        checks = [check for check in (cancellation.check if stoppable else None, watch) if check is not None]
        exchange = _Exchange(process, input or b"", on_output, checks)
        exchange.until_exit(time.monotonic() + timeout)
    except _OutOfTime:
        raise ProcessFailed(f"`{pasteable(words)}` did not end within {timeout:g} s and was stopped.{_tail(exchange.stderr)}") from None
    finally:
        _end(process)
    completed = Completed(command=words, returncode=process.returncode, stdout=bytes(exchange.stdout), stderr=bytes(exchange.stderr))
    if check and completed.returncode:
        raise ProcessFailed(f"`{pasteable(words)}` {_outcome(completed.returncode)}.{_tail(completed.stderr or completed.stdout)}")
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
    """Start a program in a session of its own, with only `pass_fds` open besides its streams; the caller waits for it."""
    words = [str(word) for word in command]
    try:
        return subprocess.Popen(
            words, stdin=stdin, stdout=stdout, stderr=stderr, env=env, cwd=cwd, pass_fds=pass_fds, close_fds=True, start_new_session=True
        )
    except FileNotFoundError as error:
        if cwd is not None and str(error.filename) == str(cwd):
            raise ProcessFailed(f"`{pasteable(words)}` cannot start: the folder {cwd} does not exist.") from None
        raise HostLacks(
            f"The program {words[0]} is not on this machine.", hint="Install the package that holds it, or run `make up`."
        ) from None
    except PermissionError:
        raise HostLacks(f"The program {words[0]} may not be run by us.", hint="Check its mode and the mount's noexec.") from None


def pasteable(command: Sequence[str | Path]) -> str:
    """The command as one line a shell would take."""
    return shlex.join(str(word) for word in command)


def _entering(groups: Sequence[Path], words: Sequence[str]) -> Sequence[str]:
    """The command after a shell that puts itself into the groups: no thread of the program can then be outside of them."""
    if not groups:
        return words
    enter = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 126; shift; done; shift; exec "$@"'
    return ["/bin/sh", "-c", enter, "sh", *(str(group) for group in groups), "--", *words]


class _OutOfTime(Exception):
    """The program ran longer than it may."""


class _Exchange:
    """Feeds stdin and drains both outputs until the program itself ends, even if a grandchild keeps the pipes open."""

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
        """Handle what is ready; True once the program has ended and its pipes are drained."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise _OutOfTime
        for check in self._checks:
            check()
            left = min(left, _LOOK)
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
        """Read all there is; False at the end of the stream."""
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
    """Whatever happened: nothing of it runs on (its group, if it did not end by itself), and its pipes are closed."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()  # it ended, but has not been waited for
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None and not pipe.closed:
            pipe.close()


def _outcome(returncode: int) -> str:
    if returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"exited with {returncode}"


def _tail(output: bytes | bytearray) -> str:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()][-_LAST_LINES:]
    return " It said: " + "\n".join(lines) if lines else ""
