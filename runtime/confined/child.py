"""A helper's life: give up every right over the host, then run marked functions for one team until the host lets go.

Forked by the zygote, whose root is empty and which has no network. What is left here is root of the team's ids alone (or of nobody's,
for work that is no team's), in a user namespace that those ids own, under a seccomp list. It sees trees only as descriptors that the
host hands it with each call.
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

# Over files of the team's own ids; each counts in its user namespace alone (capabilities(7)).
KEPT = Capability.CHOWN | Capability.DAC_OVERRIDE | Capability.DAC_READ_SEARCH | Capability.FOWNER | Capability.FSETID | Capability.SETFCAP
_LONGEST_TRACE = 4000


def confine(first_id: int, program: bytes, mapped: socket.socket, *, memory: int) -> None:
    """Become root of `first_id` and those after it, and of nothing else. `mapped`: asks the zygote for the map, and hears it is there.

    `memory`: bytes of address space. `program`: a seccomp program.
    """
    os.setgroups([])
    os.setresgid(first_id, first_id, first_id)
    os.setresuid(first_id, first_id, first_id)  # the namespace is owned by the team's first id, which the kernel's accounts are kept by
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
    """Answer calls until the host closes the channel."""
    gc.enable()
    while True:
        try:
            asked = wire.receive(channel)
        except (Closed, Malformed):
            os._exit(0)
        answer = _answer(asked, channel)
        with suppress(Closed):
            wire.send(channel, answer)
        for fd in asked.fds:
            os.close(fd)


def _answer(asked: Message, channel: socket.socket) -> dict[str, Any]:
    """What one call came to, as the host reads it."""
    try:
        function = registry.find(asked.body["call"])
        arguments = _arguments(asked.body["arguments"], wire.signature(function), asked.fds, channel)
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
        return {"fault": "".join(traceback.format_exception(error))[-_LONGEST_TRACE:]}


def _close(arguments: Mapping[str, Any]) -> None:
    """Close folders and files; what a folder opened goes with it."""
    for value in arguments.values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Folder | IOBase):
                one.close()


def _arguments(given: Mapping[str, Any], kinds: Mapping[str, Any], fds: list[int], channel: socket.socket) -> dict[str, Any]:
    """Arguments by name; each folder or file has a descriptor of its own."""
    found: dict[str, Any] = {}
    for name, kind in kinds.items():
        if kind == Say:
            found[name] = lambda line: wire.send(channel, {"say": line})
        elif name in given:
            found[name] = wire.decode(given[name], kind, fds)
    return found


def run(channel: socket.socket, mapped: socket.socket, order: Mapping[str, Any], groups: list[int], program: bytes) -> NoReturn:
    """The whole of a forked helper."""
    try:
        for group in groups:
            os.write(group, b"0")  # us (cgroups(7))
            os.close(group)
        confine(order["first_id"], program, mapped, memory=order["memory"])
        mapped.close()
        wire.send(channel, {"ready": True})
    except BaseException:  # noqa: BLE001  # the edge of the process: nothing half-confined may live on
        with suppress(Exception):
            wire.send(channel, {"fault": traceback.format_exc()[-_LONGEST_TRACE:]})
        os._exit(1)
    serve(channel)
