"""The health check of an instance as a value.

Pure; `runtime.converge.probing.probe_network` runs the check.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from runtime.contract.json_values import from_json, to_json

LEAST_BOOT = 5.0  # seconds; a process without a port is healthy after it has run for two seconds


class CheckKind(StrEnum):
    """The kind of a check."""

    HTTP = "http"  # GET a path
    TCP = "tcp"  # connect to the port
    COMMAND = "command"  # run a command inside


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """A health check. Times are in seconds. The defaults allow one minute for the start."""

    kind: CheckKind = CheckKind.HTTP
    path: str = "/"  # of HTTP
    command: tuple[str, ...] = ()  # of COMMAND
    timeout: float = 5.0  # one check
    start_period: float = 30.0  # after the start; failed checks do not count during it
    interval: float = 10.0  # after that, between two checks
    attempts: int = 3  # number of consecutive failures that make an instance unhealthy
    only_until_ready: bool = False  # from the first success on, only the port is checked

    @property
    def boot_seconds(self) -> float:
        """Return the seconds after which an instance that was never healthy has failed.

        As in Docker: see HEALTHCHECK in its reference.
        """
        return max(self.start_period + self.interval * self.attempts, LEAST_BOOT)

    @property
    def of_ready(self) -> HealthCheck:
        """Return the check of an instance that has passed this one."""
        if not self.only_until_ready:
            return self
        return replace(self, kind=CheckKind.TCP, only_until_ready=False)

    def describe(self) -> str:
        """Return the check for use in a sentence: "GET /healthz"."""
        match self.kind:
            case CheckKind.HTTP:
                return f"GET {self.path}"
            case CheckKind.TCP:
                return "a connection to its port"
            case CheckKind.COMMAND:
                line = self.command[2:] if self.command[:2] == ("/bin/sh", "-c") else self.command
                return f"`{line[0] if len(line) == 1 else shlex.join(line)}`"


def to_document(check: HealthCheck) -> dict[str, Any]:
    """Return the check as it is stored in JSON. A default that earlier releases do not know is left
    out."""
    document: dict[str, Any] = to_json(check)
    if not check.only_until_ready:
        del document["only_until_ready"]
    return document


def from_document(raw: Mapping[str, Any]) -> HealthCheck:
    """Return the check from the result of `to_document`. Raise ValueError if it is not one."""
    return from_json(raw, HealthCheck)
