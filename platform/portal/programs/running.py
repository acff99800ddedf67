"""Run other programs; no other module of the portal starts any. They run asynchronously, under
their team's limits."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from portal.programs.confinement import confined, group_for
from portal.programs.groups import ProgramGroup
from portal.programs.limits import MIB, ProgramLimits, ReachedLimit

log = logging.getLogger(__name__)
_BLOCK = 2**16
_POLL_SECONDS = 0.2  # seconds between two checks of a program's usage
_TIMEOUT = 10.0  # seconds to wait until killed processes have ended
_MOST_SAID = 2**20  # bytes of a short command's output
_LONGEST_COMPLAINT = 2**16
T = TypeVar("T")
# the loop itself has only weak references to tasks (docs.python.org/3/library/asyncio-task.html)
_alive: set[asyncio.Task[Any]] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The result of a short command."""

    command: str  # in a form that can be pasted into a shell
    code: int
    stdout: bytes
    stderr: str
    saved: int = 0  # bytes written by `save`
    reached: ReachedLimit | None = None


class RunningProgram:
    """A running program with its control group. `start` creates it; `finish` must be awaited at the
    end."""

    def __init__(
        self, process: Process, group: ProgramGroup | None, limits: ProgramLimits, name: str
    ) -> None:
        self.process = process
        self.reached: ReachedLimit | None = None
        self.is_timed = True  # if real time is limited; processor time always is
        self._group = group
        self._limits = limits
        self._name = name
        self._watcher = asyncio.create_task(self._watch())

    def stop(self, why: ReachedLimit | None = None) -> None:
        """Kill the program and all processes that it has started."""
        self._note()
        self.reached = self.reached or why
        self._kill()

    async def finish(self) -> int:
        """Wait for the end, kill remaining processes and remove the group. Return the exit code."""
        code = await self.process.wait()
        self._watcher.cancel()
        self._note()
        if code == -signal.SIGXCPU:  # the limit of one process (setrlimit(2))
            self.reached = self.reached or ReachedLimit.CPU
        peak = self._group.peak() // MIB if self._group else 0
        if self._group is not None:
            await _remove(self._group)
        if self.reached is not None:
            log.warning(
                "%s: %s It used at most %d MiB of memory.",
                self._name,
                self._limits.sentence("It", self.reached),
                peak,
            )
        return code

    def _note(self) -> None:
        if self.reached is None and self._group is not None:
            self.reached = self._group.reached()

    def _kill(self) -> None:
        if self._group is not None:
            self._group.kill()
        elif self.process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def _watch(self) -> None:
        begun = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if self.process.returncode is not None:
                self._kill()  # processes that it has started may keep its output open
            elif self.is_timed and asyncio.get_running_loop().time() - begun > self._limits.seconds:
                self.stop(ReachedLimit.TIME)
            elif self._group is not None and self._group.cpu_seconds() > self._limits.cpu_seconds:
                self.stop(ReachedLimit.CPU)


async def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    limits: ProgramLimits,
    team: int | None,
    stdin: int = DEVNULL,
    inherited: Sequence[int] = (),
) -> RunningProgram:
    """Start a program for a team.

    If `team` is None, it runs inside our own group. `inherited` are descriptors that it gets too.
    """
    group = group_for(team, limits) if team is not None else None
    try:
        process = await asyncio.create_subprocess_exec(
            *confined(command, limits, group, inside=team is None),
            env=environment,
            stdin=stdin,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
            pass_fds=inherited,
        )
    except BaseException:
        if group is not None:
            group.remove()
        raise
    return RunningProgram(process, group, limits, shlex.join(command))


async def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    limits: ProgramLimits,
    team: int | None,
    stdin_bytes: bytes = b"",
    most: int = _MOST_SAID,
) -> Completed:
    """Run a short command and keep the first `most` bytes of its output. If it prints more, kill
    it.

    `stdin` is its input, less than the 64 KiB that a pipe can buffer.
    """
    said = bytearray()
    async with _Captured(
        command, environment=environment, limits=limits, team=team, stdin_bytes=stdin_bytes
    ) as captured:
        async for block in captured.blocks():
            said += block[: most - len(said)]
            if len(said) >= most:
                captured.program.stop()
    return captured.completed(stdout=bytes(said))


async def save(
    command: Sequence[str],
    target: int,
    *,
    environment: Mapping[str, str],
    limits: ProgramLimits,
    team: int | None,
    most: int,
) -> Completed:
    """Run a command and write its output to the open file `target`. Kill it when `saved` exceeds
    `most` bytes."""
    written = 0
    async with _Captured(command, environment=environment, limits=limits, team=team) as captured:
        async for block in captured.blocks():
            written += await asyncio.to_thread(_write, target, block)
            if written > most:
                captured.program.stop()
                break
    return captured.completed(saved=written)


async def records(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    limits: ProgramLimits,
    team: int | None,
) -> AsyncGenerator[bytes, None]:
    """Yield the command's output up to each NUL. Kill it when the consumer stops. A last part
    without NUL is left out."""
    async with _Captured(command, environment=environment, limits=limits, team=team) as captured:
        rest = b""
        async for block in captured.blocks():
            *whole, rest = (rest + block).split(b"\0")
            for record in whole:
                yield record
            if len(rest) > _MOST_SAID:
                captured.program.stop()
    if captured.code != 0:
        raise RecordsCut(captured.completed())


class RecordsCut(Exception):
    """The command of `records` failed. `completed` has the details."""

    def __init__(self, completed: Completed) -> None:
        super().__init__(completed.stderr)
        self.completed = completed


class _Captured:
    """A short command: its output in blocks, its error output stored, and its end awaited."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        limits: ProgramLimits,
        team: int | None,
        stdin_bytes: bytes = b"",
    ) -> None:
        self._command, self._environment, self._limits, self._team, self._stdin_bytes = (
            command,
            environment,
            limits,
            team,
            stdin_bytes,
        )
        self.code = 0
        self._stderr = b""

    async def __aenter__(self) -> Self:
        with _input(self._stdin_bytes) as stdin:
            self.program = await start(
                self._command,
                environment=self._environment,
                limits=self._limits,
                team=self._team,
                stdin=stdin,
            )
        assert self.program.process.stderr is not None
        self._complaints = asyncio.create_task(_beginning(self.program.process.stderr))
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.program.stop()
        self.code = await asyncio.shield(keep(self._end()))

    async def blocks(self) -> AsyncIterator[bytes]:
        assert self.program.process.stdout is not None
        while block := await self.program.process.stdout.read(_BLOCK):
            yield block

    def completed(self, *, stdout: bytes = b"", saved: int = 0) -> Completed:
        return Completed(
            command=shlex.join(self._command),
            code=self.code,
            stdout=stdout,
            stderr=self._stderr.decode(errors="replace").strip(),
            saved=saved,
            reached=self.program.reached,
        )

    async def _end(self) -> int:
        assert self.program.process.stdout is not None
        # the remaining output of a killed program
        while await self.program.process.stdout.read(_BLOCK):
            pass
        code = await self.program.finish()
        self._stderr = await self._complaints
        return code


def keep(work: Coroutine[object, object, T]) -> asyncio.Task[T]:
    """Run a coroutine to its end, even if its caller is cancelled."""
    task = asyncio.get_running_loop().create_task(work)
    _alive.add(task)
    task.add_done_callback(_alive.discard)
    return task


async def feed(process: Process, body: AsyncIterator[bytes]) -> None:
    """Write a body to a program's input and close it. A program that needs no further input may
    close it first."""
    assert process.stdin is not None
    try:
        async for block in body:
            process.stdin.write(block)
            await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the program's response has the reason
    finally:
        process.stdin.close()


async def log_complaints(process: Process, name: str) -> None:
    """Write a program's error output to our log, line by line."""
    assert process.stderr is not None
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:  # a line longer than the reader's buffer; it is dropped
            continue
        if not line:
            return
        log.warning("%s: %s", name, line.decode(errors="replace").rstrip())


async def _remove(group: ProgramGroup) -> None:
    """Kill the remaining processes of a group, and remove it."""
    deadline = asyncio.get_running_loop().time() + _TIMEOUT
    while group.kill() or not group.remove():
        if asyncio.get_running_loop().time() > deadline:
            log.error(
                "The control group %s is still in use; the next start of the portal removes it.",
                group.entrances[0].parent,
            )
            return
        await asyncio.sleep(0.005)


async def _beginning(stream: asyncio.StreamReader) -> bytes:
    """Read a stream to its end and return its beginning."""
    kept = bytearray()
    while block := await stream.read(_BLOCK):
        kept += block[: _LONGEST_COMPLAINT - len(kept)]
    return bytes(kept)


@contextmanager
def _input(stdin_bytes: bytes) -> Iterator[int]:
    """Yield a descriptor from which a program can read these bytes until EOF."""
    reader, writer = os.pipe()
    try:
        os.write(writer, stdin_bytes)
        os.close(writer)
        yield reader
    finally:
        os.close(reader)


def _write(target: int, block: bytes) -> int:
    left = memoryview(block)
    while left:
        left = left[os.write(target, left) :]
    return len(block)
