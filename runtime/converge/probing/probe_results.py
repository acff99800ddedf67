"""The failing instances of an app, with the number of consecutive failed health checks.

The supervisor writes one small file per app, which does not survive a reboot; reconciliation reads
it. Healthy instances are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from runtime import journal
from runtime.contract.json_values import from_json, to_json
from runtime.converge.observed import ProbeResult


def load(path: Path) -> Mapping[str, ProbeResult]:
    """Return the failures by instance.

    Empty if the file is missing or damaged: then none are assumed.
    """
    try:
        raw = journal.read_json(path)
        return from_json(raw, dict[str, ProbeResult]) if raw is not None else {}
    except ValueError:
        return {}


def save(path: Path, pulses: Mapping[str, ProbeResult]) -> None:
    """Replace the file atomically; without failures, remove it."""
    if not pulses:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    journal.write_json(path, to_json(pulses), durable=False)
