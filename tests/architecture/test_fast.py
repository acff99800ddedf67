"""`make test-fast` leaves out what needs root, a service or a database, and keeps the pure
tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fast import FOLDER, _needs_more


@pytest.mark.parametrize(
    "name", ["runtime/converge/test_plan.py", "portal/traffic/test_autoscale.py"]
)
def test_pure_tests_are_kept(name: str) -> None:
    assert not _needs_more(FOLDER / name)


@pytest.mark.parametrize(
    "name", ["runtime/containers/conftest.py", "portal/test_queue.py", "system/support/box.py"]
)
def test_files_that_start_programs_are_left_out(name: str) -> None:
    assert _needs_more(FOLDER / name)


def test_a_helper_that_starts_programs_counts_as_an_import(tmp_path: Path) -> None:
    file = tmp_path / "test_it.py"
    file.write_text("from tests.system.support.box import Box\n")
    assert _needs_more(file)
