"""Git's answers in their frames, so that a sentence of ours can be put behind what git has said (gitprotocol-common(5)). Pure."""

from __future__ import annotations

_FLUSH = b"0000"
_LONGEST = 65516  # bytes of one frame's content
_DATA, _PROGRESS, _ERROR = 1, 2, 3  # what a frame of a multiplexed stream carries (gitprotocol-pack(5), "side-band-64k")


def frame(content: bytes) -> bytes:
    """Return one frame: its length in four hex digits, itself counted, then the content."""
    return f"{len(content) + 4:04x}".encode() + content


def remote_error(sentence: str) -> bytes:
    """Return a whole answer to a push that only says why it was refused."""
    return frame(bytes([_ERROR]) + f"{sentence}\n".encode()) + _FLUSH


class Answer:
    """One answer as it comes from git. `feed` returns what may go on to the client; `end` the rest."""

    def __init__(self, *, is_push: bool) -> None:
        self._is_push = is_push
        self._rest = b""
        self._is_framed = True
        self._is_multiplexed: bool | None = None  # None: nothing has come yet

    def feed(self, block: bytes) -> bytes:
        """Take some bytes of the answer; return the whole frames among them, but for a last flush."""
        self._rest += block
        if not self._is_framed:
            passed, self._rest = self._rest, b""
            return passed
        place = 0
        while (length := self._length_at(place)) is not None and place + length <= len(self._rest):
            if length == 4 and self._rest[place : place + 4] == _FLUSH and place + 4 == len(self._rest):
                break  # it may be the last
            if length > 4:
                self._is_multiplexed = self._rest[place + 4] in (_DATA, _PROGRESS, _ERROR)
            place += length
        passed, self._rest = self._rest[:place], self._rest[place:]
        return passed

    def end(self, sentence: str = "") -> bytes:
        """Return the end of the answer, with the sentence before it as a line of the remote's."""
        is_whole = self._rest == _FLUSH
        if not sentence or not self._is_framed:
            return self._rest
        line = f"{sentence}\n".encode()[:_LONGEST]
        if self._is_multiplexed or (self._is_push and self._is_multiplexed is None):
            kind, begin = (_PROGRESS, b"\n! ") if is_whole else (_ERROR, b"")  # what git was saying may be half a line
            return frame(bytes([kind]) + begin + line) + _FLUSH
        return self._rest if is_whole else frame(b"ERR " + line)

    def _length_at(self, place: int) -> int | None:
        """Return the length of the frame there, None while it has not come."""
        head = self._rest[place : place + 4]
        if len(head) < 4:
            return None
        try:
            length = int(head, 16)
        except ValueError:
            self._is_framed = False
            return None
        return max(length, 4)  # flush, delimiter and end of answer have no content
