"""The health check of one instance: HTTP, TCP or a command.

It decides nothing: the answer is a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from runtime.containers.container import Container
from runtime.containers.execution import Executed
from runtime.contract.health import CheckKind, HealthCheck
from runtime.converge.explain import ProbeAnswer
from runtime.converge.probing.probe_network import Ask, Connect, ask, connect
from runtime.errors import RuntimeFailure


class Execute(Protocol):
    """`Containers.execute`, or another in a test."""

    def __call__(self, id: str, command: Sequence[str], *, timeout: float) -> Executed: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prober:
    """The ways to check an instance; tests pass others."""

    execute: Execute
    ask: Ask = ask
    connect: Connect = connect

    def check(self, container: Container, host: str, health: HealthCheck) -> ProbeAnswer:
        """Check the instance within `health.timeout` seconds. `host` is the Host header."""
        address, port = container.address or "", int(container.spec.labels["port"])
        match health.kind:
            case CheckKind.HTTP:
                return self.ask(address, port, host, health.path, patience=health.timeout)
            case CheckKind.TCP:
                return self.connect(address, port, patience=health.timeout)
            case CheckKind.COMMAND:
                return self._run_inside(container.id, health)

    def _run_inside(self, id: str, health: HealthCheck) -> ProbeAnswer:
        try:
            done = self.execute(id, health.command, timeout=health.timeout)
        except RuntimeFailure as failure:  # the instance has just ended
            return ProbeAnswer(trouble=f"could not be run: {failure.what}")
        if done.code is None:
            return ProbeAnswer(trouble=f"did not end within {health.timeout:g} s")
        output = f", with the output: {done.output[-300:]}" if done.output else ""
        return ProbeAnswer(
            passed=done.code == 0,
            trouble=f"ended with code {done.code}{output}" if done.code else "",
        )
