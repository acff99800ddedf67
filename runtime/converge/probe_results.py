"""Which instances of an app failed their last health checks, and how often in a row.

Whoever asks them writes it down, a small file an app that does not outlive a reboot; whoever converges reads it. What is well is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from runtime import journal
from runtime.converge.observed import ProbeResult


def load(path: Path) -> Mapping[str, ProbeResult]:
    """By instance. Empty where nobody asks, or what they wrote is damaged: then nothing follows from it."""
    try:
        raw = journal.read_json(path)
        return {key: ProbeResult(**pulse) for key, pulse in raw.items()} if raw is not None else {}
    except (ValueError, TypeError, AttributeError):
        return {}


def save(path: Path, pulses: Mapping[str, ProbeResult]) -> None:
    """Replace the file in one piece; without failures there is none."""
    if not pulses:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    journal.write_json(path, {key: asdict(pulse) for key, pulse in pulses.items()}, durable=False)
