"""The explanation of why an instance ended or is not ready, with the remedy. Pure.

The first line is the finding; the last lines of the process's output follow.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.containers.container import Exit
from runtime.contract.health import CheckKind, HealthCheck
from runtime.contract.quantities import Bytes

AT_ONCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    """The result of a health check: an HTTP `status`, `passed`, or the failure in `trouble`."""

    status: int | None = None
    passed: bool = False
    trouble: str = ""

    @property
    def healthy(self) -> bool:
        return self.passed or (self.status is not None and self.status < 500)

    def describe(self) -> str:
        """Return the result as the end of a sentence that begins with the check's name."""
        return self.trouble or (
            f"was answered with status {self.status}"
            if self.status is not None
            else "did not succeed"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFindings:
    """The findings about a running web instance that is not ready."""

    port: int  # the value of $PORT
    health: HealthCheck
    listening: tuple[tuple[str, int], ...]  # (address, port)
    answer: ProbeAnswer
    memory: Bytes
    oom_kills: int = 0
    waited: float


def exited(end: Exit | None, *, lived: float | None, log: Sequence[str]) -> str:
    """Return why an instance that should run ended."""
    if end is None:
        return (
            "It is gone without an exit status: the machine restarted, or its monitor was killed."
        )
    text = end.explain()
    if lived is not None and lived < AT_ONCE_SECONDS:
        text = text.replace("It exited with", "It exited at once with")
    if end.out_of_memory:
        text += " Give it more memory, or make it use less."
    elif end.code == 0 and not end.because:
        text += (
            " A process must stay in the foreground: if it ends, even with code 0, it counts as"
            " crashed."
        )
    elif end.code == 127 and end.signal is None:
        text += (
            " Check the command in the Procfile, and that its package is among the dependencies."
        )
    return _with_log(text, log)


def not_ready(seen: ProbeFindings, log: Sequence[str]) -> str:
    """Return why a running web instance gets no traffic."""
    found = (
        _how_it_checks(seen) if seen.health.kind is CheckKind.COMMAND else _where_it_listens(seen)
    )
    text = f"{found} (Waited {seen.waited:.0f} s.)"
    if seen.oom_kills:
        text = (
            f"Out of memory: the kernel killed one of its processes ({_times(seen.oom_kills)}),"
            f" because it reached its limit of {seen.memory}. Raise the limit. {text}"
        )
    return _with_log(text, log)


def early_finding(seen: ProbeFindings) -> str:
    """Return what an instance that boots does wrong, or "" if it may only need more time.

    It listens where no request can reach it, or it answers with an error. Without a socket it may
    still be loading.
    """
    if seen.health.kind is CheckKind.COMMAND or not seen.listening:
        return ""
    listens = any(
        port == seen.port and not ipaddress.ip_address(address).is_loopback
        for address, port in seen.listening
    )
    if listens and seen.answer.status is None:
        return ""
    return _where_it_listens(seen)


def _where_it_listens(seen: ProbeFindings) -> str:
    remedy = f"it must listen on 0.0.0.0 and the port in $PORT ({seen.port})"
    if not seen.listening:
        return (
            f"It does not listen on a port; {remedy}. If the process does not serve requests, give"
            " it a name without routes in the Procfile: worker, not web."
        )
    reachable = [
        (address, port)
        for address, port in seen.listening
        if not ipaddress.ip_address(address).is_loopback
    ]
    if any(port == seen.port for _, port in reachable):
        return _how_it_answers(seen)
    if reachable:
        return f"It listens on {_sockets(reachable)}; {remedy}."
    return (
        f"It listens on {_sockets(seen.listening)}, which only the instance itself can reach;"
        f" {remedy}."
    )


def _how_it_checks(seen: ProbeFindings) -> str:
    return (
        f"Its health check {seen.health.describe()} {seen.answer.trouble or 'did not succeed'}; the"
        " check passes when the command exits with code 0."
    )


def _how_it_answers(seen: ProbeFindings) -> str:
    if seen.health.kind is CheckKind.TCP:
        return (
            f"It listens, but a connection to port {seen.port}"
            f" {seen.answer.trouble or 'got no answer'}."
        )
    request = f"GET {seen.health.path} on port {seen.port}"
    if seen.answer.status is not None:
        return (
            f"It answers {request} with status {seen.answer.status}; it is healthy with a status"
            " below 500. Look for the reason in its log, or set another health check in the app's"
            " settings or its manifest."
        )
    return (
        f"It listens, but {request} {seen.answer.trouble or 'got no answer'}. Make that path answer"
        " quickly, or choose another health check."
    )


def _sockets(sockets: Sequence[tuple[str, int]]) -> str:
    return " and ".join(
        sorted(
            {
                f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
                for address, port in sockets
            }
        )
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _with_log(text: str, log: Sequence[str]) -> str:
    if not log:
        return f"{text}\nIt printed nothing."
    return "\n".join((text, "Its last lines:", *log))
