"""Run one push or fetch: git under the team's limits, with a streamed response and an error line if
a limit is reached."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from portal.accounts.models import Person
from portal.apps.models import App
from portal.errors import Refused
from portal.gitserver import git_limits, leftovers, packing, repository, slots
from portal.gitserver.pktlines import Answer, remote_error
from portal.gitserver.push_target import Created
from portal.gitserver.slots import Slots
from portal.programs import running
from portal.programs.limits import ProgramLimits, ReachedLimit
from portal.programs.running import RunningProgram

_BLOCK = 2**16
_HINTS = {
    ReachedLimit.MEMORY: (
        "Large files that change often need the most memory. Keep data outside of git, or ask an"
        " admin to raise SLIPWAY_PUSH_MEMORY."
    ),
}


async def push(
    app: App,
    person: Person,
    path: Path,
    body: AsyncIterator[bytes],
    *,
    held: Slots,
    most_bytes: int,
    protocol: str,
    created: Created = Created.NO,
) -> AsyncIterator[bytes]:
    """Yield git's response to a push.

    If the client disconnects, the push continues: its deploy is not stopped, and its ref should be
    updated.
    """
    turn = await slots.wait(git_limits.unpacking(app, person), patience=git_limits.QUEUE_SECONDS)
    if turn is None:
        held.release()
        yield remote_error(
            f"Team {app.team.name} has too many pushes that are still being read. Push again in"
            f" {git_limits.RETRY_SECONDS} s."
        )
        return
    limits = git_limits.push_limits(most_bytes)
    reader, writer = os.pipe()
    try:
        program = await running.start(
            repository.serve("receive-pack", path, advertise=False, most_bytes=most_bytes),
            environment=repository.serving_environment(
                app, person, protocol=protocol, taken=writer, created=created
            ),
            limits=limits,
            team=app.team_id,
            stdin=PIPE,
            inherited=(writer, *turn.descriptors, *held.descriptors),
        )
    except BaseException:
        os.close(reader)
        turn.free()
        held.free()
        raise
    finally:
        os.close(writer)

    def on_taken() -> None:
        """React to the hook: it reports that the files are stored, or has ended."""
        asyncio.get_running_loop().remove_reader(reader)
        if os.read(reader, 1):
            program.is_timed = False
            turn.free()
        os.close(reader)

    asyncio.get_running_loop().add_reader(reader, on_taken)

    async def afterwards() -> None:
        turn.release()
        held.release()
        if program.reached is not None or program.process.returncode != 0:
            await asyncio.to_thread(leftovers.clean, app.pk)
        await packing.pack_if_needed(app, path)

    exchange = _Exchange(program, limits, "This push", body, afterwards)
    async for block in exchange.answer(Answer(is_push=True), outlives_reader=True):
        yield block


async def fetch(
    app: App, person: Person, path: Path, body: AsyncIterator[bytes], *, held: Slots, protocol: str
) -> AsyncIterator[bytes]:
    """Yield git's response to a fetch. The fetch ends when its client disconnects."""
    limits = git_limits.fetch_limits()
    try:
        program = await running.start(
            repository.serve("upload-pack", path, advertise=False),
            environment=repository.serving_environment(app, person, protocol=protocol),
            limits=limits,
            team=app.team_id,
            stdin=PIPE,
            inherited=held.descriptors,
        )
    except BaseException:
        held.free()
        raise

    async def afterwards() -> None:
        held.release()

    exchange = _Exchange(program, limits, "This fetch", body, afterwards)
    async for block in exchange.answer(Answer(is_push=False), outlives_reader=False):
        yield block


class _Exchange:
    """A git program that reads a request body and writes a response."""

    def __init__(
        self,
        program: RunningProgram,
        limits: ProgramLimits,
        what: str,
        body: AsyncIterator[bytes],
        afterwards: Callable[[], object],
    ) -> None:
        self._program, self._limits, self._what, self._afterwards = (
            program,
            limits,
            what,
            afterwards,
        )
        self._feeder = asyncio.create_task(running.feed(program.process, body))
        self._complaints = asyncio.create_task(running.log_complaints(program.process, what))

    async def answer(self, answer: Answer, *, outlives_reader: bool) -> AsyncIterator[bytes]:
        """Yield the response. If the client disconnects, the program is stopped, unless
        `outlives_reader`."""
        stdout = self._program.process.stdout
        assert stdout is not None
        is_whole = False
        try:
            while block := await stdout.read(_BLOCK):
                if passed := answer.feed(block):
                    yield passed
            is_whole = True
        finally:
            if not is_whole and not outlives_reader:
                self._program.stop()
            end = running.keep(self._end())
        if rest := answer.end(await asyncio.shield(end)):
            yield rest

    async def _end(self) -> str:
        """Wait for the program's end and clean up. Return the error line for the client, or an
        empty text."""
        stdout = self._program.process.stdout
        assert stdout is not None
        while await stdout.read(_BLOCK):
            pass
        await self._program.finish()
        self._feeder.cancel()
        fed, _ = await asyncio.gather(self._feeder, self._complaints, return_exceptions=True)
        running.keep(self._afterwards())  # type: ignore[arg-type]  # a coroutine
        if (reached := self._program.reached) is not None:
            return f"{self._limits.sentence(self._what, reached)} {_HINTS.get(reached, '')}".strip()
        return fed.explain() if isinstance(fed, Refused) else ""
