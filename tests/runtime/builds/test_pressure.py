"""Pure tests of memory pressure: when builds are frozen and thawed, and the effect on a build's
time limit.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.builds.budget import FROZEN_MOST, Budget
from runtime.builds.pressure import BuildContainer, Freeze, Pressure, Thaw, decide, read
from runtime.config import NodeConfig
from runtime.errors import BuildFailed, Cancelled

MARKS = NodeConfig()
OLD, YOUNG = (
    BuildContainer(id="old", created_at=1, frozen=False),
    BuildContainer(id="young", created_at=2, frozen=False),
)
OLD_ICE, YOUNG_ICE = (
    BuildContainer(id="old", created_at=1, frozen=True),
    BuildContainer(id="young", created_at=2, frozen=True),
)


@pytest.mark.parametrize(
    ("stalled", "available", "builds", "since_thaw", "expected"),
    [
        (0.0, 50.0, (OLD, YOUNG), 60, ()),
        (19.9, 1.0, (OLD, YOUNG), 60, ()),  # if the kernel reports stalls, only they are used
        (20.0, 50.0, (YOUNG, OLD), 60, (Freeze(id="young"), Freeze(id="old"))),
        (90.0, 50.0, (OLD_ICE, YOUNG), 60, (Freeze(id="young"),)),
        (90.0, 50.0, (OLD_ICE, YOUNG_ICE), 60, ()),
        (10.0, 50.0, (OLD_ICE, YOUNG), 60, ()),  # between the two thresholds nothing changes
        (5.0, 50.0, (YOUNG_ICE, OLD_ICE), 60, (Thaw(id="old"),)),
        (5.0, 50.0, (YOUNG_ICE, OLD), 2.9, ()),
        (5.0, 50.0, (YOUNG_ICE, OLD), 3.0, (Thaw(id="young"),)),
        (None, 5.0, (OLD,), 60, (Freeze(id="old"),)),
        (None, 7.0, (OLD_ICE, YOUNG), 60, ()),
        (None, 10.0, (OLD_ICE, YOUNG), 60, (Thaw(id="old"),)),
        (99.0, 1.0, (), 60, ()),
    ],
)
def test_all_builds_freeze_at_once_and_thaw_one_by_one(
    stalled, available, builds, since_thaw, expected
) -> None:
    assert (
        decide(
            Pressure(stalled=stalled, available=available),
            builds,
            MARKS,
            now=100,
            thawed_at=100 - since_thaw,
        )
        == expected
    )


def test_pressure_comes_from_psi_or_from_the_available_memory(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text(
        "MemTotal:       1000000 kB\nMemFree:          10000 kB\nMemAvailable:    250000 kB\n"
    )
    assert read(tmp_path) == Pressure(stalled=None, available=25.0)
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure" / "memory").write_text(
        "some avg10=12.34 avg60=1.00 avg300=0.00 total=5\nfull avg10=9.00 avg60=0.00 avg300=0.00"
        " total=1\n"
    )
    assert read(tmp_path) == Pressure(stalled=12.34, available=25.0)
    assert 0 < read().available <= 100


def test_frozen_time_is_not_counted_up_to_a_limit() -> None:
    now, said = [0.0], list[str]()
    budget = Budget(60, said.append, clock=lambda: now[0])
    now[0] = 10
    budget.freeze(True)
    now[0] = 500
    assert budget.left() == 50
    budget.freeze(False)
    assert (budget.left(), said[1]) == (
        50,
        "Memory is free again: the build continues after 490 s.",
    )
    budget.freeze(True)
    now[0] = 500 + FROZEN_MOST - 490 + 49
    assert budget.left() == 1
    now[0] += 1
    assert budget.is_over()


def test_a_build_is_stopped_when_it_is_cancelled_or_its_time_is_used_up() -> None:
    now, cancelled = [0.0], [False]
    budget = Budget(120, print, cancelled=lambda: cancelled[0], clock=lambda: now[0])
    budget.check()
    now[0] = 120
    with pytest.raises(
        BuildFailed, match=r"^The build reached its time limit of 2 minutes and was stopped\.$"
    ):
        budget.check()
    with pytest.raises(BuildFailed, match=r"^The step is late\.$"):
        budget.check("The step is late.")
    cancelled[0] = True
    with pytest.raises(Cancelled):
        budget.check("The step is late.")
