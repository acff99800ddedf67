"""The listening sockets of the router, opened by a process that outlives HAProxy.

The process passes them to each HAProxy that starts. While no HAProxy runs, the kernel queues
connections, and the next HAProxy accepts them. So a killed HAProxy causes no refused connections.
This module does not start HAProxy; `launch` does.
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
from runtime.router.addresses import ListenAddress, places

# connections that wait for HAProxy; the kernel's limit is net.core.somaxconn (default 4096)
QUEUE = 8000
_WAIT = 5.0  # seconds; timeout of the handover
_MOST = 8  # most descriptors in a handover
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))


def handover_socket(config: NodeConfig) -> Path:
    """Return the path of the Unix socket from which a starting HAProxy gets the sockets."""
    return config.run / "listeners.sock"


class Listeners:
    """Context manager that holds the listening sockets.

    It opens all sockets on entry and closes them on exit. It passes them to each process of the
    same user or root that connects. Raises HostLacks if an address or port cannot be opened.
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
        thread = threading.Thread(
            target=_hand_over, args=(door, sockets), name="listeners", daemon=True
        )
        thread.start()
        self._opened.callback(thread.join)
        self._opened.callback(door.shutdown, socket.SHUT_RDWR)  # wakes the thread
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)
        self._opened.close()


def open_listener(place: ListenAddress) -> socket.socket:
    """Open a listening TCP socket. Raise HostLacks with the reason if that fails."""
    # HAProxy's notation for all addresses
    host = {"*": "0.0.0.0"}.get(place.host, place.host.strip("[]"))
    listener: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(QUEUE)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise HostLacks(
            f"The router cannot listen on {place.text}: {error.strerror}.",
            hint="Correct SLIPWAY_HTTP_BIND or the port in .env.",
        ) from None
    return listener


def fetch(path: Path) -> list[int] | None:
    """Return the descriptors that the holder process passes at `path`; they are not inheritable.

    Return None if no process holds the sockets.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_WAIT)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        if _peer(connection) not in (0, os.geteuid()):
            raise HostLacks(
                f"{path} belongs to another user's process.",
                hint=f"Remove {path} and start Slipway again.",
            )
        _, descriptors, _, _ = socket.recv_fds(connection, 1, _MOST)
    return list(descriptors)


def chosen(wanted: tuple[ListenAddress, ...], descriptors: list[int]) -> dict[str, int]:
    """Return the descriptor of each place by its environment variable. The port decides.

    Raise HostLacks for a port without a listening socket.
    """
    ports = {_port(descriptor): descriptor for descriptor in descriptors}
    for place in wanted:
        if place.port not in ports:
            held = ", ".join(str(port) for port in sorted(ports)) or "none"
            raise HostLacks(
                f"The router received no socket for port {place.port} ({place.name}). Ports of the"
                f" received sockets: {held}.",
                hint=(
                    "The port was changed: stop Slipway and start it again, so that it opens the"
                    " sockets again."
                ),
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
            return  # `Listeners` has exited
        with connection, suppress(OSError):  # the client exited; the next HAProxy connects again
            connection.settimeout(_WAIT)
            if _peer(connection) in (0, os.geteuid()):
                socket.send_fds(connection, [b"."], [listener.fileno() for listener in sockets])


def _peer(connection: socket.socket) -> int:
    """Return the user id of the process at the other end."""
    _, user, _ = _PEER.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    )
    return int(user)


def _port(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        return (
            int(listener.getsockname()[1])
            if listener.family in (socket.AF_INET, socket.AF_INET6)
            else 0
        )
