"""Parse git's responses into packet lines, to add an error line after git's own output
(gitprotocol-common(5)). Pure."""

from __future__ import annotations

_FLUSH = b"0000"
_LONGEST = 65516  # bytes of the content of one packet line
# the channels of a multiplexed stream (gitprotocol-pack(5), "side-band-64k")
_DATA, _PROGRESS, _ERROR = 1, 2, 3


def frame(content: bytes) -> bytes:
    """Return one packet line: its length in four hex digits, which count too, then the content."""
    return f"{len(content) + 4:04x}".encode() + content


def remote_error(sentence: str) -> bytes:
    """Return a whole response to a push that only says why it was refused."""
    return frame(bytes([_ERROR]) + f"{sentence}\n".encode()) + _FLUSH


class Answer:
    """A response while it arrives from git. `feed` returns the bytes that can be sent to the
    client; `end` returns the rest."""

    def __init__(self, *, is_push: bool) -> None:
        self._is_push = is_push
        self._rest = b""
        self._is_framed = True
        self._is_multiplexed: bool | None = None  # None: no bytes have arrived yet

    def feed(self, block: bytes) -> bytes:
        """Accept some bytes of the response. Return the complete packet lines, except a last
        flush."""
        self._rest += block
        if not self._is_framed:
            passed, self._rest = self._rest, b""
            return passed
        place = 0
        while (length := self._length_at(place)) is not None and place + length <= len(self._rest):
            if (
                length == 4
                and self._rest[place : place + 4] == _FLUSH
                and place + 4 == len(self._rest)
            ):
                break  # it may be the last one
            if length > 4:
                self._is_multiplexed = self._rest[place + 4] in (_DATA, _PROGRESS, _ERROR)
            place += length
        passed, self._rest = self._rest[:place], self._rest[place:]
        return passed

    def end(self, sentence: str = "") -> bytes:
        """Return the end of the response, with `sentence` before it as a `remote:` line."""
        is_whole = self._rest == _FLUSH
        if not sentence or not self._is_framed:
            return self._rest
        line = f"{sentence}\n".encode()[:_LONGEST]
        if self._is_multiplexed or (self._is_push and self._is_multiplexed is None):
            # git may have been in the middle of a line
            kind, begin = (_PROGRESS, b"\n! ") if is_whole else (_ERROR, b"")
            return frame(bytes([kind]) + begin + line) + _FLUSH
        return self._rest if is_whole else frame(b"ERR " + line)

    def _length_at(self, place: int) -> int | None:
        """Return the length of the packet line at this place, or None if it has not arrived yet."""
        head = self._rest[place : place + 4]
        if len(head) < 4:
            return None
        try:
            length = int(head, 16)
        except ValueError:
            self._is_framed = False
            return None
        return max(length, 4)  # flush, delimiter and end of response have no content
