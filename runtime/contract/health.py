"""How an instance is asked whether it is well, as a value. Pure; asking is `runtime.converge.probe_network`'."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

LEAST_BOOT = 5.0  # seconds; processes without a port are judged by staying up for two


class CheckKind(StrEnum):
    """What is done to find out."""

    HTTP = "http"  # GET a path
    TCP = "tcp"  # connect to the port
    COMMAND = "command"  # run something inside


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """One way to ask, and how patiently. Times in seconds; the defaults give an instance a minute to come up."""

    kind: CheckKind = CheckKind.HTTP
    path: str = "/"  # of HTTP
    command: tuple[str, ...] = ()  # of COMMAND
    timeout: float = 5.0  # one check
    start_period: float = 30.0  # after the start; failed checks do not count in it
    interval: float = 10.0  # after that, between two that count
    attempts: int = 3  # that many may fail in a row

    @property
    def boot_seconds(self) -> float:
        """After which an instance that was never well is given up (as Docker has it: HEALTHCHECK in its reference)."""
        return max(self.start_period + self.interval * self.attempts, LEAST_BOOT)

    def describe(self) -> str:
        """For a sentence: "GET /healthz"."""
        match self.kind:
            case CheckKind.HTTP:
                return f"GET {self.path}"
            case CheckKind.TCP:
                return "a connection to its port"
            case CheckKind.COMMAND:
                line = self.command[2:] if self.command[:2] == ("/bin/sh", "-c") else self.command
                return f"`{line[0] if len(line) == 1 else shlex.join(line)}`"


def to_document(check: HealthCheck) -> dict[str, Any]:
    """As it is written down in JSON."""
    return asdict(check)


def from_document(raw: Mapping[str, Any]) -> HealthCheck:
    """The reverse of `to_document`."""
    return HealthCheck(**{**raw, "kind": CheckKind(raw["kind"]), "command": tuple(raw["command"])})
