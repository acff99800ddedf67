"""Tests of the limits on layers of shared libraries."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import journal
from runtime.builds.native.library_limits import MOST_NEW, MOST_PACKAGES, LibraryLimits
from runtime.config import NodeConfig
from runtime.errors import BuildFailed


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    made = NodeConfig(name="tlibs", state=tmp_path / "state", run=tmp_path / "run")
    made.locks.mkdir(parents=True)
    return made


def test_a_team_adds_a_limited_number_of_layers_within_an_hour(config: NodeConfig) -> None:
    limits, other = (LibraryLimits(config=config, team=team) for team in (1, 2))
    for number in range(MOST_NEW):
        limits.count_new(1000 + number)
    with pytest.raises(BuildFailed, match=f"needed {MOST_NEW} new combinations") as refused:
        limits.count_new(1600)
    assert "Deploy again in 51 minutes." in refused.value.hint
    other.count_new(1600)
    limits.count_new(1000 + 3600)
    with pytest.raises(BuildFailed):
        limits.count_new(1000 + 3600)


def test_the_record_has_only_the_last_hour(config: NodeConfig) -> None:
    LibraryLimits(config=config, team=1).count_new(1000)
    LibraryLimits(config=config, team=2).count_new(10_000)
    assert journal.read_json(config.cache / "library-layers.json") == {"2": [10_000]}


def test_an_app_that_needs_too_many_packages_is_refused(config: NodeConfig) -> None:
    limits = LibraryLimits(config=config, team=1)
    limits.check_packages([f"libx{number}" for number in range(MOST_PACKAGES)])
    with pytest.raises(BuildFailed, match=f"The maximum is {MOST_PACKAGES}"):
        limits.check_packages([f"libx{number}" for number in range(MOST_PACKAGES + 1)])
