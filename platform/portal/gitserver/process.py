"""The portal's only door to other programs: `git`, run beside the event loop, its words streamed both ways."""

from __future__ import annotations

import asyncio
import logging
import shlex
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)
_BLOCK = 2**16
_alive: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly (docs.python.org/3/library/asyncio-task.html)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a short command did."""

    command: str  # as one pastes it
    code: int
    stdout: bytes
    stderr: str
    saved: int = 0  # bytes, by `save`


async def run(command: Sequence[str], *, environment: Mapping[str, str]) -> Completed:
    """Run a short command to its end and keep what it says."""
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    stdout, stderr = await process.communicate()
    return Completed(command=shlex.join(command), code=await process.wait(), stdout=stdout, stderr=stderr.decode(errors="replace").strip())


async def save(command: Sequence[str], target: Path, *, environment: Mapping[str, str], limit: int) -> Completed:
    """Run a command and write what it says to a file. It is killed as soon as `saved` is beyond `limit` bytes."""
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    complaint = asyncio.create_task(process.stderr.read())
    written = 0
    with target.open("wb") as file:
        while block := await process.stdout.read(_BLOCK):
            written += file.write(block)
            if written > limit:
                process.kill()
                break
    stderr = (await complaint).decode(errors="replace").strip()
    return Completed(command=shlex.join(command), code=await process.wait(), stdout=b"", stderr=stderr, saved=written)


async def exchange(
    command: Sequence[str], body: AsyncIterator[bytes], *, environment: Mapping[str, str], outlives_reader: bool
) -> AsyncIterator[bytes]:
    """Feed `body` to the command and yield what it answers, both at once.

    When the reader goes away before the end, the command is killed; or, if it `outlives_reader`, is left to finish unheard.
    """
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True)
    feeder = asyncio.create_task(_feed(process, body))
    complaints = asyncio.create_task(_complaints(process, command))
    assert process.stdout is not None
    try:
        while block := await process.stdout.read(_BLOCK):
            yield block
    finally:
        if not process.stdout.at_eof() and not outlives_reader:
            with suppress(ProcessLookupError):
                process.kill()
        _keep(_finish(process, feeder, complaints))


async def _feed(process: Process, body: AsyncIterator[bytes]) -> None:
    assert process.stdin is not None
    try:
        async for block in body:
            process.stdin.write(block)
            await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # it has heard enough, and says why in its answer
    finally:
        process.stdin.close()


async def _complaints(process: Process, command: Sequence[str]) -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        log.warning("%s: %s", shlex.join(command), line.decode(errors="replace").rstrip())


async def _finish(process: Process, feeder: asyncio.Task[None], complaints: asyncio.Task[None]) -> None:
    assert process.stdout is not None
    while await process.stdout.read(_BLOCK):
        pass
    await process.wait()
    feeder.cancel()
    await asyncio.gather(feeder, complaints, return_exceptions=True)


def _keep(work: asyncio.Future[None] | object) -> None:
    task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]  # a coroutine
    _alive.add(task)
    task.add_done_callback(_alive.discard)
