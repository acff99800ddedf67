"""Decide which builds are frozen while the machine is short of memory, and when they continue.

`decide` is pure.
Memory pressure is the share of time in which some process waited for memory
(PSI, https://docs.kernel.org/accounting/psi.html).
On a kernel without PSI, the available memory decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from runtime.config import NodeConfig

PAUSE = 3.0  # seconds between two builds that continue: each may cause new pressure
_SOME = re.compile(r"^some avg10=([0-9.]+)", re.MULTILINE)
_KIB = re.compile(r"^(MemTotal|MemAvailable):\s+([0-9]+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """Memory pressure in percent.

    `stalled`: the share of the last ten seconds in which some process waited for memory; None
    without PSI.
    """

    stalled: float | None
    available: float  # share of all memory that is available without swapping


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContainer:
    id: str
    created_at: float
    frozen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    id: str

    def describe(self) -> str:
        return f"freeze {self.id}: this machine is short of memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thaw:
    id: str

    def describe(self) -> str:
        return f"thaw {self.id}"


def read(proc: Path = Path("/proc")) -> Pressure:
    """Return the present values of the kernel."""
    try:
        some = _SOME.search((proc / "pressure" / "memory").read_text())
    except OSError:  # a kernel without PSI, or PSI is switched off (psi=0: EOPNOTSUPP)
        some = None
    sizes = {name: int(size) for name, size in _KIB.findall((proc / "meminfo").read_text())}
    return Pressure(
        stalled=float(some[1]) if some else None,
        available=100 * sizes["MemAvailable"] / sizes["MemTotal"],
    )


def is_tight(pressure: Pressure, marks: NodeConfig) -> bool:
    """Return whether builds must be frozen."""
    if pressure.stalled is not None:
        return pressure.stalled >= marks.memory_stall_high
    return pressure.available <= marks.memory_free_low


def may_resume_builds(pressure: Pressure, marks: NodeConfig) -> bool:
    """Return whether builds may continue. Between both limits, nothing changes."""
    if pressure.stalled is not None:
        return pressure.stalled <= marks.memory_stall_low
    return pressure.available >= marks.memory_free_enough


def decide(
    pressure: Pressure,
    builds: Iterable[BuildContainer],
    marks: NodeConfig,
    *,
    now: float,
    thawed_at: float,
) -> tuple[Freeze | Thaw, ...]:
    """Freeze all builds at once, and let them continue one after another, the oldest first.

    `thawed_at`: the time in seconds, like `now`, when the last build continued.
    """
    if is_tight(pressure, marks):
        return tuple(Freeze(id=build.id) for build in builds if not build.frozen)
    frozen = sorted((build for build in builds if build.frozen), key=lambda build: build.created_at)
    if frozen and may_resume_builds(pressure, marks) and now - thawed_at >= PAUSE:
        return (Thaw(id=frozen[0].id),)
    return ()
