"""A line of the router's access log: its parser and its text for the app's owner. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.contract.code_explanations import EXPLAINED
from runtime.contract.error_codes import Code, code_of
from runtime.router.config.render import ACCESS_FIELDS, instance_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLine:
    """A finished request. Times are milliseconds; -1 if the request ended before that step."""

    at: float  # unix seconds of its end
    app: str  # empty: no app
    status: int  # -1: no answer
    code: Code | None
    instance: str  # empty: no instance got the request
    received: int  # bytes from the client
    sent: int
    took: int  # total time, without the wait for the client's next request
    queued: int
    client: str
    request_id: str
    method: str
    path: str

    @property
    def tunnel(self) -> bool:
        """Return whether this is a tunnel, such as a WebSocket. Its duration is not a latency."""
        return self.status == 101

    def text(self) -> str:
        """Return the text for the app's log."""
        words = [
            f"{self.method} {self.path} {self.status if self.status > 0 else '-'}",
            f"took={self.took}ms",
            f"queued={max(self.queued, 0)}ms",
            f"sent={self.sent}",
            f"instance={self.instance or '-'}",
            f"client={self.client}",
            f"request_id={self.request_id}",
        ]
        if self.code:
            words.insert(1, f"code={self.code} {EXPLAINED[self.code].name}")
        return " ".join(words)


def parse(line: str) -> AccessLine | None:
    """Parse a line. Return None for HAProxy's own messages and for the rest of a truncated line."""
    fields = line.strip().split(" ", len(ACCESS_FIELDS) - 1)
    if len(fields) != len(ACCESS_FIELDS) or not fields[0].isdecimal():
        return None
    try:
        at, status, received, sent, took, queued = (
            int(fields[index]) for index in (0, 2, 6, 7, 8, 9)
        )
    except ValueError:
        return None
    server = fields[5]
    return AccessLine(
        at=at / 1000,
        app="" if fields[1] == "-" else fields[1],
        status=status,
        code=code_of(given=fields[4], status=status, termination=fields[3], server=server),
        instance=instance_of(server),
        received=received,
        sent=sent,
        took=took,
        queued=queued,
        client=fields[10],
        request_id=fields[11],
        method=fields[12],
        path=fields[13],
    )
