"""The host's side of confined helpers, which do all work on tenants' trees.

Only descriptors and results pass between the two sides.

    with confinement.session(team) as helper:
        helper.call(count_files, top=helper.tree(path))

A helper serves one team (or, as team 0, the platform's shared layers). It ends with its block, if
the build is cancelled, or after its time limit. It never gets a path of the host. A tree is a
detached copy of its mount, with the ids that the tree has on disk. For the data that a running
container wrote, it has the container's ids (mount_setattr(2), idmapped mounts).
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from runtime import cancellation, errors
from runtime.confined import wire
from runtime.confined.groups import Groups, HelperGroup, in_use
from runtime.confined.registry import limits_of, name_of
from runtime.confined.wire import Closed, Malformed
from runtime.confined.zygote_process import LOOK_AT, ZYGOTE
from runtime.errors import HelperFailed, HostLacks, KernelRefused, LimitReached, RuntimeFailure
from runtime.kernel import Kernel, MountFlag
from runtime.team_ids import first_id_of
from runtime.trees.folder import Folder

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger(__name__)
PLATFORM = 0  # the team number of work for no team
MEMORY = 1 << 30  # bytes of address space
PATIENCE = 1800.0  # seconds; timeout of a call
_START = 60.0  # seconds; timeout of a helper's start, and of each write to it
_MOST_SAID = 1 << 20  # characters of output of one call
_LARGEST_ERRNO = 4095  # MAX_ERRNO of the kernel
_LONGEST_ERROR = 10_000  # characters of an error's text
_POLL_SECONDS = 0.1  # seconds between two checks for cancellation
_QUIET = MountFlag.NO_SETUID | MountFlag.NO_DEVICES | MountFlag.NO_EXEC


@dataclass(slots=True)
class Session:
    """A helper, for one thread at a time."""

    team: int
    _channel: socket.socket
    _process: int  # pidfd
    _ids: int  # descriptor of its user namespace
    _kernel: Kernel
    _stack: ExitStack
    _group: HelperGroup | None
    is_broken: bool = False
    _outer: Session | None = None  # the session that shares its helper with this one
    _in_call: bool = False

    def tree(self, path: Path, *, writable: bool = False, as_written: bool = False) -> Folder:
        """Open a tree of the host by its path. It is read-only by default, and closes with the
        session.

        It has the owners on disk. With `as_written`, they are the host ids of the team's
        containers, as in a container's writable layer.
        """
        flags = _QUIET if writable else _QUIET | MountFlag.READ_ONLY
        clone = self._kernel.clone_tree(path, idmap=None if as_written else self._ids, flags=flags)
        return self.keep(Folder(clone))

    def trees(self, paths: Iterable[Path]) -> tuple[Folder, ...]:
        """Open several trees in order, read-only and with the ids on disk."""
        return tuple(self.tree(path) for path in paths)

    @property
    def ids(self) -> int:
        """Return the helper's user namespace, for mounts that the helper uses (mount_setattr(2)).

        It ends with the session.
        """
        return self._ids

    def keep(self, folder: Folder) -> Folder:
        """Close a folder when the session ends."""
        self._stack.callback(folder.close)
        return folder

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a marked function in the helper, with arguments by name.

        Raise the function's errors if they are the runtime's. Raise Cancelled if the work was
        cancelled. Raise LimitReached if it exceeded its memory, processor or time limit. Raise
        HelperFailed for an internal error.
        """
        return self.call_for(PATIENCE, lambda _: None, function, *args, **kwargs)

    def call_for(
        self,
        seconds: float,
        say: Callable[[str], None],
        function: Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run a function like `call`, with a timeout, and pass its output to `say` line by line."""
        if args:
            raise TypeError("a helper's function takes its arguments by name")
        if self.is_broken or (self._outer is not None and self._outer.is_broken):
            raise HelperFailed(f"The helper of team {self.team} has ended.")
        name, kinds, fds = name_of(function), wire.signature(function), list[int]()
        arguments = {key: wire.encode(value, fds) for key, value in kwargs.items()}
        self._in_call = True
        try:
            try:
                wire.send(self._channel, {"call": name, "arguments": arguments}, fds)
            except Closed:
                raise self._death(name) from None
            answer = self._answer(name, time.monotonic() + seconds, seconds, say)
        except BaseException:
            self.end()
            raise
        finally:
            self._in_call = False
        if "result" in answer:
            result: R = self._checked(name, answer["result"], kinds["return"])
            return result
        raise self._error(name, answer)

    def end(self) -> None:
        """Kill the helper. Files that it was writing remain incomplete."""
        self.is_broken = True
        if self._outer is not None:
            self._outer.is_broken = True
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until the helper has ended."""
        select.select([self._process], [], [], 10)

    def await_ready(self) -> None:
        """Wait until the helper has dropped its privileges.

        Raise HostLacks if this machine refused that.
        """
        try:
            until = time.monotonic() + _START
            wait = partial(self._await, "the start", until, _START)
            limits = limits_of("")
            answer = wire.receive(
                self._channel,
                longest=limits.length,
                most_values=limits.values,
                most_fds=0,
                wait=wait,
            ).body
        except (Closed, Malformed) as fault:
            answer = {"fault": f"it ended ({fault})"}
        if not answer.get("ready"):
            raise HostLacks(
                f"A confined helper could not drop its privileges: {answer.get('fault')}.",
                hint=LOOK_AT,
            )

    def _answer(
        self, name: str, deadline: float, seconds: float, say: Callable[[str], None]
    ) -> dict[str, Any]:
        limits, said = limits_of(name), 0
        wait = partial(self._await, name, deadline, seconds)
        while True:
            try:
                message = wire.receive(
                    self._channel,
                    longest=limits.length,
                    most_values=limits.values,
                    most_fds=0,
                    wait=wait,
                )
                body = dict(message.body)
            except Closed:
                raise self._death(name) from None
            except Malformed as fault:
                raise HelperFailed(
                    f"The helper's answer to `{name}` is not valid: {fault}."
                ) from None
            if "say" not in body:
                return body
            line = str(body["say"])
            said += len(line) + 1
            if said > _MOST_SAID:
                raise HelperFailed(f"`{name}` wrote more than {_MOST_SAID} characters of output.")
            say(line)

    def _await(self, name: str, deadline: float, seconds: float) -> None:
        """Wait until the channel can be read. Raise LimitReached at the deadline, or Cancelled."""
        while True:
            cancellation.check()
            if time.monotonic() > deadline:
                raise LimitReached(
                    f"`{name}` did not end within {seconds:g} s and was stopped.",
                    hint="Make the source smaller.",
                )
            if select.select([self._channel], [], [], _POLL_SECONDS)[0]:
                return

    def _checked(self, name: str, value: Any, kind: Any) -> Any:
        if kind is type(None):
            return None
        try:
            return wire.decode(value, kind, [])
        except Malformed as fault:
            self.end()
            raise HelperFailed(f"The helper's answer to `{name}` is not valid: {fault}.") from None

    def _error(self, name: str, answer: dict[str, Any]) -> Exception:
        if "failure" in answer:
            kind = getattr(errors, str(answer["failure"]), None)
            if (
                isinstance(kind, type)
                and issubclass(kind, RuntimeFailure)
                and kind not in (KernelRefused, errors.CertificateRefused)
            ):
                return kind(_text(answer, "what"), hint=_text(answer, "hint"))
        code = answer.get("errno")
        if isinstance(code, int) and 0 <= code <= _LARGEST_ERRNO:
            error = OSError(code, os.strerror(code), _text(answer, "name") or None)
            error.add_note(f"In a confined helper, {name}:\n{_text(answer, 'trace')}")
            return error
        if answer.get("exhausted") == "answer":
            return LimitReached(
                f"The result of `{name}` is larger than {limits_of(name).length >> 20} MiB.",
                hint="Reduce the number of files, or the size of those that describe the build.",
            )
        if "exhausted" in answer:
            return LimitReached(
                f"`{name}` needed more memory than its limit.",
                hint="Reduce the size of the source or of its files.",
            )
        log.error("%s failed in its helper: %s", name, _text(answer, "fault"))
        return HelperFailed(  # people see this, and the trace has paths of the host
            f"`{name}` failed in its helper because of an internal error"
            f" ({_text(answer, 'error')[:100]}).",
            hint="The worker's log has the details.",
        )

    def _death(self, name: str) -> RuntimeFailure:
        if self._group is not None and (limit := self._group.reached()):
            return LimitReached(
                f"`{name}` needed more than {limit} and was stopped.",
                hint="Reduce the size of the source or of its files.",
            )
        return HelperFailed(f"The helper ended while it ran `{name}`.")


class Confinement:
    """Starts helpers.

    Several threads may have sessions at once; one zygote serves the whole process.
    """

    def __init__(self, *, kernel: Kernel | None = None, groups: Groups | None = None) -> None:
        self._kernel, self._groups = (
            kernel or Kernel(),
            groups or (in_use[-1] if in_use else None),
        )

    @contextmanager
    def shared_session(self, team: int) -> Iterator[Session]:
        """Use the helper of this thread's innermost `session` if it has the same team; else start
        one.

        Use it for a step that works on the same tenant's bytes as the work around it: a new helper
        costs about 8 ms. If a call ends the helper, the outer session is broken too.
        """
        outer = _innermost.get()
        if outer is None or outer.team != team or outer.is_broken or outer._in_call:
            with self.session(team) as session:
                yield session
            return
        with ExitStack() as stack:
            yield replace(outer, _stack=stack, _outer=outer)

    @contextmanager
    def session(self, team: int = PLATFORM, *, memory: int = MEMORY) -> Iterator[Session]:
        """Start a helper for one team; it ends with the block."""
        with ExitStack() as stack:
            group = stack.enter_context(
                self._groups.helper(team) if self._groups is not None else nullcontext(None)
            )
            doors = [
                stack.enter_context(_opened(door, os.O_WRONLY))
                for door in (group.procs_files if group else ())
            ]
            ours, theirs = socket.socketpair()
            stack.callback(ours.close)
            ours.setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(_START), 0)
            )
            with theirs:
                process, ids = ZYGOTE.fork(
                    {"first_id": first_id_of(team), "memory": memory}, [theirs.fileno(), *doors]
                )
            stack.callback(os.close, process)
            stack.callback(os.close, ids)
            session = Session(team, ours, process, ids, self._kernel, stack, group)
            stack.callback(session.wait)
            stack.callback(session.end)
            session.await_ready()
            token = _innermost.set(session)
            try:
                yield session
            finally:
                _innermost.reset(token)


_innermost: ContextVar[Session | None] = ContextVar("innermost helper session", default=None)


def _text(answer: dict[str, Any], name: str) -> str:
    return str(answer.get(name))[:_LONGEST_ERROR]


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
