"""Tests of what ends a build between two steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from runtime.builds.budget import Budget
from runtime.builds.context import BuildContext
from runtime.config import NodeConfig
from runtime.errors import BuildFailed, Cancelled


def context(tmp_path: Path, *, disk_full: int = 100, cancelled: bool = False) -> SimpleNamespace:
    """Return the parts of a context that `check` needs."""
    config = replace(NodeConfig(), state=tmp_path, disk_full=disk_full)
    return SimpleNamespace(
        budget=Budget(60, lambda line: None, cancelled=lambda: cancelled), config=config
    )


def test_a_build_continues_while_there_is_room(tmp_path: Path) -> None:
    BuildContext.check(context(tmp_path))


def test_no_further_step_starts_on_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="no further step starts"):
        BuildContext.check(context(tmp_path, disk_full=0))


def test_a_cancelled_build_ends_first(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        BuildContext.check(context(tmp_path, disk_full=0, cancelled=True))
