"""Tests that two different trees never give the same layer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.errors import BuildFailed
from runtime.images.digest import Digest
from tests.runtime.images.conftest import Yard


@pytest.mark.parametrize("name", [".wh.passwd", ".wh..wh..opq", ".wh."])
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_file_with_the_name_of_a_whiteout_is_refused_by_name(
    yard: Yard, name: str, kind: str, tmp_path: Path
) -> None:
    tree = tmp_path / "made"
    (tree / "etc").mkdir(parents=True)
    place = tree / "etc" / name
    if kind == "file":
        place.write_bytes(b"")
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to("passwd")
    with pytest.raises(BuildFailed, match=rf"'etc/{name}' cannot be part of an image"):
        yard.store.add_layer(tree)


def test_a_real_whiteout_and_names_like_it_are_stored(yard: Yard, tmp_path: Path) -> None:
    tree = tmp_path / "made"
    (tree / "etc").mkdir(parents=True)
    os.mknod(tree / "etc" / "passwd", 0o20000, os.makedev(0, 0))
    (tree / "etc" / "a.wh.b").write_text("")
    (tree / "etc" / ".what").write_text("")
    assert Digest.parse(yard.store.add_layer(tree).diff_id)


def test_an_attribute_whose_name_contains_an_equals_sign_is_refused(
    yard: Yard, tmp_path: Path
) -> None:
    tree = tmp_path / "made"
    tree.mkdir()
    (tree / "file").write_text("")
    os.setxattr(tree / "file", "user.a=b", b"c")
    with pytest.raises(BuildFailed, match=r"'file' has the extended attribute 'user.a=b'"):
        yard.store.add_layer(tree)


def test_an_equals_sign_in_the_value_of_an_attribute_is_stored(yard: Yard, tmp_path: Path) -> None:
    tree = tmp_path / "made"
    tree.mkdir()
    (tree / "file").write_text("")
    os.setxattr(tree / "file", "user.a", b"b=c")
    layer = yard.store.add_layer(tree)
    assert os.getxattr(yard.store.unpacked(layer) / "file", "user.a") == b"b=c"
