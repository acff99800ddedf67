"""Tests of names that are too long for a file: the error names the line of the Dockerfile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.builds.dockerfile import work
from runtime.builds.dockerfile.accounts import Account
from runtime.builds.dockerfile.sources import wanted
from runtime.builds.dockerfile.syntax import Instruction, Words
from runtime.errors import BadSource
from runtime.trees.folder import Folder

LONG = "a" * 256
COPY = Instruction(
    name="COPY",
    flags=(),
    args=("f", f"/{LONG}/"),
    exec_form=False,
    heredocs=(),
    text="COPY",
    line=3,
)


def copy(source: Folder, root: Folder) -> None:
    asked = wanted(COPY, Words("\\", {}), Words("\\", {}), "/")
    request = work.Request(
        of=COPY,
        asked=asked,
        excluded=(),
        is_context=True,
        owner=None,
        chmod=None,
        unpack=False,
        most=1 << 20,
    )
    work.copy(source, root, request)


def make_directory(_: Folder, root: Folder) -> None:
    work.make_directory(root, LONG, Account(uid=0, gid=0), COPY)


@pytest.mark.parametrize("act", [copy, make_directory])
def test_a_name_that_is_too_long_is_reported_with_its_line(
    act: Callable[[Folder, Folder], None], tmp_path: Path
) -> None:
    for name in ("source", "root"):
        (tmp_path / name).mkdir()
    (tmp_path / "source" / "f").write_text("x")
    with (
        Folder.at(tmp_path / "source") as source,
        Folder.at(tmp_path / "root") as root,
        pytest.raises(BadSource, match=r"line 3: The name .* is longer than the 255 bytes"),
    ):
        act(source, root)
