"""The sockets that visitors connect to, opened by a process that outlives HAProxy and handed to each HAProxy that starts.

The kernel queues connections while no HAProxy runs, and the next HAProxy accepts them: a killed HAProxy refuses nobody. This module
does not start HAProxy; `launch` does.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from runtime.config import NodeConfig
from runtime.errors import HostLacks
from runtime.router.addresses import Place, places

QUEUE = 8000  # connections that wait for HAProxy; the kernel takes no more than net.core.somaxconn (4096 if not set)
_WAIT = 5.0  # seconds for the other side of the handover
_MOST = 8  # descriptors in one handover
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))


def handover_socket(config: NodeConfig) -> Path:
    """Where a starting HAProxy gets the sockets."""
    return config.run / "listeners.sock"


class Listeners:
    """Opens all sockets on entry, hands them to any process of the same user or root that connects, and closes them on exit.

    HostLacks: an address or port cannot be opened.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._places = places(config)
        self._path = handover_socket(config)
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        try:
            sockets = [self._opened.enter_context(open_listener(place)) for place in self._places]
            door = self._opened.enter_context(_open_door(self._path))
        except BaseException:
            self._opened.close()
            raise
        thread = threading.Thread(target=_hand_over, args=(door, sockets), name="listeners", daemon=True)
        thread.start()
        self._opened.callback(thread.join)
        self._opened.callback(door.shutdown, socket.SHUT_RDWR)  # wakes the thread
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)
        self._opened.close()


def open_listener(place: Place) -> socket.socket:
    """A listening TCP socket; HostLacks tells why there is none."""
    host = {"*": "0.0.0.0"}.get(place.host, place.host.strip("[]"))  # HAProxy's word for every address
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(QUEUE)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise HostLacks(
            f"The router cannot listen on {place.text}: {error.strerror}.", hint="Correct SLIPWAY_HTTP_BIND or the port in .env."
        ) from None
    return listener


def fetch(path: Path) -> list[int] | None:
    """Descriptors of the sockets that a holder hands over at `path`, not inheritable; None where nobody holds any."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_WAIT)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        if _peer(connection) not in (0, os.geteuid()):
            raise HostLacks(f"{path} belongs to another user's process.", hint=f"Remove {path} and start Slipway again.")
        _, descriptors, _, _ = socket.recv_fds(connection, 1, _MOST)
    return list(descriptors)


def chosen(wanted: tuple[Place, ...], descriptors: list[int]) -> dict[str, int]:
    """The descriptor for each place, by its variable. The port decides. HostLacks names a port that nobody listens on."""
    ports = {_port(descriptor): descriptor for descriptor in descriptors}
    for place in wanted:
        if place.port not in ports:
            held = ", ".join(str(port) for port in sorted(ports)) or "none"
            raise HostLacks(
                f"The router was handed no socket for port {place.port} ({place.name}); it was handed: {held}.",
                hint="The port was changed: stop Slipway and start it again, so that its sockets are opened anew.",
            )
    return {place.variable: ports[place.port] for place in wanted}


def _open_door(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.bind(str(path))
        path.chmod(0o600)
        door.listen()
    except OSError:
        door.close()
        raise
    return door


def _hand_over(door: socket.socket, sockets: list[socket.socket]) -> None:
    while True:
        try:
            connection, _ = door.accept()
        except OSError:
            return  # `Listeners` is left
        with connection, suppress(OSError):  # the other side ended; the next HAProxy asks again
            connection.settimeout(_WAIT)
            if _peer(connection) in (0, os.geteuid()):
                socket.send_fds(connection, [b"."], [listener.fileno() for listener in sockets])


def _peer(connection: socket.socket) -> int:
    """The user of the process at the other end."""
    _, user, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(user)


def _port(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        return int(listener.getsockname()[1]) if listener.family in (socket.AF_INET, socket.AF_INET6) else 0
