"""The files that reconciliation keeps per app: its state, request counts and probe results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from runtime.config import NodeConfig
from runtime.contract.health import HealthCheck
from runtime.converge import app_state, request_counts
from runtime.converge.observed import Crashes, ProbeResult, Slot
from runtime.converge.probing import probe_results
from runtime.converge.request_counts import Requests


class AppFiles:
    """The files of all apps of a node."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._checks: dict[str, tuple[int, Mapping[str, HealthCheck]]] = {}  # app: mtime, checks

    def state(self, app: str) -> Path:
        """Return the path of the app's state (`app_state`)."""
        return self._config.state / "converge" / f"{app}.json"

    def checks(self, app: str) -> Mapping[str, HealthCheck]:
        """Return the health checks of ready, awake and staying instances, by instance."""
        try:
            written = self.state(app).stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        before, checks = self._checks.get(app, (0, {}))
        if written != before:
            checks = app_state.load(self.state(app)).checks_to_run()
            self._checks[app] = (written, checks)
        return checks

    def crashes(self, app: str) -> Mapping[Slot, Crashes]:
        """Return the consecutive crashes in each slot of an app."""
        return app_state.load(self.state(app)).crashes

    def request_counts(self, app: str) -> Requests | None:
        """Return the counts of an app's requests; None if they are not counted."""
        return request_counts.load(self._requests(app))

    def save_request_counts(self, app: str, counted: Requests) -> None:
        """Store the counts for reconciliation."""
        request_counts.save(self._requests(app), counted)

    def probe_results(self, app: str) -> Mapping[str, ProbeResult]:
        """Return the failed health checks of an app, by instance."""
        return probe_results.load(self._results(app))

    def save_probe_results(self, app: str, failing: Mapping[str, ProbeResult]) -> None:
        """Store the failed health checks for reconciliation."""
        probe_results.save(self._results(app), failing)

    def remove(self, app: str) -> None:
        """Remove the files of an app that no longer exists."""
        for path in (self.state(app), self._requests(app), self._results(app)):
            path.unlink(missing_ok=True)

    def _requests(self, app: str) -> Path:
        return self._config.requests / f"{app}.json"

    def _results(self, app: str) -> Path:
        return self._config.pulses / f"{app}.json"
