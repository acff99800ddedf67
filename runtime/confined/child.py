"""Main program of a helper: it drops all privileges on the host, then serves calls for one team.

The zygote forks it, with an empty root and without a network. Here it becomes root of the team's
ids only, or of the platform's ids for work of no team. It runs in a user namespace that those ids
own, under a seccomp filter. It gets file trees only as descriptors, which the host passes with each
call.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import traceback
from collections.abc import Mapping
from contextlib import suppress
from io import IOBase
from typing import Any, NoReturn

from runtime import syscalls
from runtime.confined import registry, wire
from runtime.confined.wire import Closed, Malformed, Message, Say
from runtime.errors import RuntimeFailure
from runtime.syscalls import Capability, Namespace
from runtime.trees.folder import Folder

# Apply to files of the team's ids. Each one is valid only in the helper's user namespace
# (capabilities(7)).
KEPT = (
    Capability.CHOWN
    | Capability.DAC_OVERRIDE
    | Capability.DAC_READ_SEARCH
    | Capability.FOWNER
    | Capability.FSETID
    | Capability.SETFCAP
)
_LONGEST_TRACE = 4000


def confine(first_id: int, program: bytes, mapped: socket.socket, *, memory: int) -> None:
    """Drop all privileges except root of the range of ids from `first_id`.

    `mapped` asks the zygote to write the id map, and receives its confirmation. `memory`: bytes of
    address space. `program`: a seccomp program.
    """
    os.setgroups([])
    os.setresgid(first_id, first_id, first_id)
    # the team's first id owns the namespace, because the kernel's limits count by owner
    os.setresuid(first_id, first_id, first_id)
    syscalls.unshare(Namespace.USER)
    mapped.send(b"?")
    if mapped.recv(1) != b"!":
        raise OSError("the map of ids was not written")
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.setgroups([])
    syscalls.die_with_parent(signal.SIGKILL)
    syscalls.hide_memory()
    syscalls.drop_capabilities(KEPT)
    syscalls.forbid_new_privileges()
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    os.umask(0o022)
    syscalls.filter_calls(program)


def serve(channel: socket.socket) -> NoReturn:
    """Serve calls until the host closes the channel."""
    gc.enable()
    while True:
        try:
            asked = wire.receive(channel)
        except (Closed, Malformed):
            os._exit(0)
        with suppress(Closed):
            wire.send_encoded(channel, _encoded(asked, channel))
        for fd in asked.fds:
            os.close(fd)


def _encoded(asked: Message, channel: socket.socket) -> bytes:
    """Return the answer of a call as a message that the host accepts."""
    data = wire.to_bytes(_answer(asked, channel))
    limits = registry.limits_of(asked.body["call"])
    if len(data) > limits.length:
        return wire.to_bytes({"exhausted": "answer"})
    return data


def _answer(asked: Message, channel: socket.socket) -> dict[str, Any]:
    """Run a call and return its result or error as the host expects it."""
    try:
        function = registry.find(asked.body["call"])
        arguments = _arguments(
            asked.body["arguments"], wire.signature(function), asked.fds, channel
        )
        try:
            result = function(**arguments)
        finally:
            _close(arguments)
        return {"result": wire.encode(result, [])}
    except RuntimeFailure as failure:
        return {"failure": type(failure).__name__, "what": failure.what, "hint": failure.hint}
    except MemoryError:
        return {"exhausted": "memory"}
    except OSError as error:
        trace = "".join(traceback.format_exception(error))[-_LONGEST_TRACE:]
        return {"errno": error.errno or 0, "name": str(error.filename or ""), "trace": trace}
    except Exception as error:  # noqa: BLE001  # the edge of a call: the host records it and raises
        trace = "".join(traceback.format_exception(error))[-_LONGEST_TRACE:]
        return {"fault": trace, "error": type(error).__name__}


def _close(arguments: Mapping[str, Any]) -> None:
    """Close folders and files. A folder closes those that it opened."""
    for value in arguments.values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Folder | IOBase):
                item.close()


def _arguments(
    given: Mapping[str, Any], kinds: Mapping[str, Any], fds: list[int], channel: socket.socket
) -> dict[str, Any]:
    """Return the arguments by name. Each folder or file has its own descriptor."""
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        if kind == Say:
            found[name] = lambda line: wire.send(channel, {"say": line})
        elif name in given:
            found[name] = wire.decode(given[name], kind, fds)
    return found


def run(
    channel: socket.socket,
    mapped: socket.socket,
    order: Mapping[str, Any],
    groups: list[int],
    program: bytes,
) -> NoReturn:
    """Run a forked helper from its start to its end."""
    try:
        for group in groups:
            os.write(group, b"0")  # this process (cgroups(7))
            os.close(group)
        confine(order["first_id"], program, mapped, memory=order["memory"])
        mapped.close()
        wire.send(channel, {"ready": True})
    # the edge of the process: a partly confined helper must not continue
    except BaseException:  # noqa: BLE001
        with suppress(Exception):
            wire.send(channel, {"fault": traceback.format_exc()[-_LONGEST_TRACE:]})
        os._exit(1)
    serve(channel)
