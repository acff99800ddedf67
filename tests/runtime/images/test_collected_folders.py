"""Tests of copying a step's folders: the limits apply to all of them together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.errors import BuildFailed
from runtime.images.layers.sanitizing import collect
from runtime.trees.folder import Folder

FOLDERS = ("app/node_modules", "app/a/node_modules", "app/b/node_modules")


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    """Return a writable layer in which one file of 1000 bytes has a name in each folder."""
    top = tmp_path / "upper"
    first = top / FOLDERS[0] / "x"
    for folder in FOLDERS:
        (top / folder).mkdir(parents=True)
    first.write_bytes(bytes(1000))
    for folder in FOLDERS[1:]:
        os.link(first, top / folder / "x")
    return top


def collected(upper: Path, most: int) -> Path:
    into = upper.with_name("into")
    into.mkdir()
    with Folder.at(upper) as old, Folder.at(into) as new:
        collect(upper=old, into=new, folders=FOLDERS, most=most)
    return into


def test_a_file_with_names_in_several_folders_counts_in_each(upper: Path) -> None:
    with pytest.raises(BuildFailed, match="The files of the build step are larger than 2.9 KiB"):
        collected(upper, 2999)


def test_folders_within_the_limit_are_copied(upper: Path) -> None:
    into = collected(upper, 3000)
    assert [(into / folder / "x").stat().st_size for folder in FOLDERS] == [1000] * 3
