"""Messages between the host's side and a confined helper.

A message is JSON after its length, with descriptors (unix(7)). Messages from a helper are not
trusted: their length and number of values are limited, they are only parsed as JSON, and converted
to the expected type.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import IOBase
from typing import Any, BinaryIO, cast, get_args, get_type_hints

import msgspec

from runtime.trees.folder import Folder

LONGEST = 256 << 20  # bytes; limit of a message from the host, which is trusted
_MOST_FDS = 250  # the kernel passes at most 253 at once (SCM_MAX_FD)
_HEAD = struct.Struct("!IH")  # length, descriptors
_MODES = {os.O_RDONLY: "rb", os.O_WRONLY: "wb", os.O_RDWR: "rb+"}
Say = Callable[[str], None]  # a parameter of this type writes a line to the host's log


class Closed(Exception):
    """The other side has closed the channel."""


class Malformed(Exception):
    """The other side sent an invalid message."""


@dataclass(slots=True)
class Message:
    """A message. The receiver owns its descriptors."""

    body: Mapping[str, Any]
    fds: list[int] = field(default_factory=list)


def send(channel: socket.socket, body: Mapping[str, Any], fds: list[int] | None = None) -> None:
    """Send a message. Raise Closed if the other side has ended."""
    send_encoded(channel, to_bytes(body), fds)


def to_bytes(body: Mapping[str, Any]) -> bytes:
    """Return a message as JSON. Text that is not ASCII keeps its length."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(
        errors="surrogatepass"
    )


def send_encoded(channel: socket.socket, data: bytes, fds: list[int] | None = None) -> None:
    """Send a message that `to_bytes` made. Raise Closed if the other side does not read it."""
    passed = fds or []
    try:
        channel.sendall(_HEAD.pack(len(data), len(passed)))
        for start in range(0, len(passed), _MOST_FDS):
            part = passed[start : start + _MOST_FDS]
            channel.sendmsg(
                [b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", part).tobytes())]
            )
        channel.sendall(data)
    except (BrokenPipeError, ConnectionResetError, BlockingIOError):
        raise Closed from None  # BlockingIOError: SO_SNDTIMEO of socket(7)


def receive(
    channel: socket.socket,
    *,
    longest: int = LONGEST,
    most_values: int | None = None,
    most_fds: int = 10_000,
    wait: Callable[[], None] = lambda: None,
) -> Message:
    """Receive a message.

    Raise Closed if the other side has ended, and Malformed if it sent too much or an invalid
    message. `wait` returns when the channel can be read. It is called before each piece, so it can
    end a message that does not arrive completely.
    """
    length, count = _HEAD.unpack(_exactly(channel, _HEAD.size, wait))
    if length > longest or count > most_fds:
        raise Malformed(f"a message of {length} bytes and {count} descriptors")
    fds: list[int] = []
    try:
        while len(fds) < count:
            wait()
            fds += _descriptors(channel)
        data = _exactly(channel, length, wait)
        if most_values is not None:
            _check_values(data, most_values)
        # decoded here, because json.loads(bytes) accepts UTF-16, in which the count is wrong
        body = json.loads(data.decode(errors="surrogatepass"))
        if not isinstance(body, dict):
            raise Malformed("a message that is not an object")
    except BaseException as error:
        for fd in fds:
            os.close(fd)
        if isinstance(error, ValueError | RecursionError):
            raise Malformed(f"a message that cannot be parsed: {error}") from None
        raise
    return Message(body=body, fds=fds)


def encode(value: object, fds: list[int]) -> Any:  # JSON
    """Return an argument or result as JSON.

    Its descriptors are added to `fds`; the JSON has their index instead.
    """
    if isinstance(value, Folder):
        fds.append(value.fd)
        return len(fds) - 1
    if isinstance(value, IOBase) or hasattr(value, "fileno"):
        fds.append(cast(BinaryIO, value).fileno())
        return len(fds) - 1
    if isinstance(value, tuple | list) and any(isinstance(item, Folder) for item in value):
        return [encode(item, fds) for item in value]
    return msgspec.to_builtins(value, enc_hook=_plain)


def decode(value: Any, kind: Any, fds: list[int]) -> Any:  # of the type `kind`
    """Convert JSON to a type: the inverse of `encode`. Raise Malformed if it does not fit."""
    try:
        if kind is Folder:
            return Folder(os.dup(fds[value]))
        if kind is BinaryIO:
            return os.fdopen(
                os.dup(fds[value]), _MODES[fcntl.fcntl(fds[value], fcntl.F_GETFL) & os.O_ACCMODE]
            )
        if Folder in get_args(kind):
            return tuple(Folder(os.dup(fds[index])) for index in value)
        return msgspec.convert(value, kind, strict=True)
    except (msgspec.ValidationError, IndexError, TypeError, ValueError) as error:
        raise Malformed(str(error)) from None


def signature(function: Callable[..., object]) -> dict[str, Any]:
    """Return the type of each parameter, and of `return`."""
    return get_type_hints(function)


def _plain(value: object) -> object:
    """Return a subclass of text or number, such as a digest or an amount, as its basic type."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be sent to a helper")


def _check_values(data: bytes, most: int) -> None:
    """Raise Malformed if JSON has more than `most` texts, or more than `most` other values.

    A parsed value needs up to a hundred times the memory of its text. Nothing is parsed here: in
    valid JSON, a quote without a backslash starts or ends a text, and each further value follows
    a comma or a bracket. Invalid JSON fails before the place where this count may be wrong.
    """
    plain = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 2 * most:
        raise Malformed(f"a message of more than {most} texts")
    outside = b"".join(plain.split(b'"')[::2])
    if sum(outside.count(mark) for mark in (b",", b"[", b"{")) > most:
        raise Malformed(f"a message of more than {most} values")


def _exactly(channel: socket.socket, length: int, wait: Callable[[], None]) -> bytes:
    data = bytearray()
    while len(data) < length:
        wait()
        try:
            piece = channel.recv(min(length - len(data), 1 << 20))
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise Closed
        data += piece
    return bytes(data)


def _descriptors(channel: socket.socket) -> list[int]:
    data, ancillary, flags, _ = channel.recvmsg(
        1, socket.CMSG_SPACE(_MOST_FDS * 4), socket.MSG_CMSG_CLOEXEC
    )
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    if not data:
        raise Closed
    if flags & socket.MSG_CTRUNC or not fds:
        for fd in fds:
            os.close(fd)
        raise Malformed("descriptors that were cut off")
    return list(fds)
