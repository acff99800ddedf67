"""COPY over an existing tree, and mounts of what is neither a file nor a folder: what is wrong is
the user's to mend.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.builds.dockerfile import work
from runtime.builds.dockerfile.copying import Copying, Item
from runtime.builds.dockerfile.finding import content_of
from runtime.builds.dockerfile.ignore import Digests
from runtime.builds.dockerfile.room import Room
from runtime.builds.dockerfile.syntax import Instruction
from runtime.builds.dockerfile.tree import Tree
from runtime.errors import BadSource, BuildFailed
from runtime.trees.folder import Folder

COPY = Instruction(
    name="COPY", flags=(), args=(".", "/"), exec_form=False, heredocs=(), text="COPY . /", line=2
)


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """A source and a root, both empty."""
    for name in ("source", "root"):
        (tmp_path / name).mkdir()
    return tmp_path / "source", tmp_path / "root"


def copy(source: Path, root: Path, *, chmod: int | None = None) -> None:
    with Folder.at(source) as here, Folder.at(root) as there:
        room = Room(of=COPY, most=1 << 20)
        copying = Copying(root=Tree(root=there), owner=None, chmod=chmod, of=COPY, room=room)
        copying.put(Item(tree=Tree(root=here), name=""), "/", into_folder=False)


def test_a_folder_cannot_go_through_a_link_to_below_a_file(trees: tuple[Path, Path]) -> None:
    source, root = trees
    (source / "b").mkdir()
    (root / "a").write_text("a file")
    (root / "b").symlink_to("a/a")
    with pytest.raises(BadSource, match="line 2: The folder /a/a cannot be created: /a is a file"):
        copy(source, root)


@pytest.mark.parametrize(
    ("chmod", "folder", "file"), [(0o644, 0o755, 0o644), (0o600, 0o700, 0o600), (0o111,) * 3]
)
def test_a_folder_that_chmod_makes_readable_can_be_entered(
    trees: tuple[Path, Path], chmod: int, folder: int, file: int
) -> None:
    source, root = trees
    (source / "made").mkdir(mode=0o700)
    (source / "made" / "index.html").write_text("x")
    copy(source, root, chmod=chmod)
    modes = [stat.S_IMODE((root / name).stat().st_mode) for name in ("made", "made/index.html")]
    assert modes == [folder, file]


def test_a_file_cannot_go_below_a_file_that_the_same_copy_made(trees: tuple[Path, Path]) -> None:
    """The root's link `a` leads to the top itself, so the source's file a/a takes its place."""
    source, root = trees
    (source / "a").mkdir()
    (source / "a" / "a").write_text("a file")
    (source / "a" / "b").write_text("below it")
    (root / "a").symlink_to(".")
    with pytest.raises(BadSource, match="/a is a file"):
        copy(source, root)


def test_a_file_is_copied_again_if_its_first_copy_was_replaced(trees: tuple[Path, Path]) -> None:
    """p/f and q/g are one file. The root's links make p/f and q/f one place, so the first copy is
    gone when q/g is made.
    """
    source, root = trees
    for name in ("p", "q"):
        (source / name).mkdir()
    (source / "p" / "f").write_text("two names")
    (source / "q" / "f").write_text("another file")
    os.link(source / "p" / "f", source / "q" / "g")
    os.link(source / "p" / "f", source / "q" / "h")
    (root / "real").mkdir()
    for name in ("p", "q"):
        (root / name).symlink_to("real")
    copy(source, root)
    assert (root / "real" / "f").read_text() == "another file"
    assert (root / "real" / "g").read_text() == "two names"
    assert (root / "real" / "g").samefile(root / "real" / "h")


def test_two_names_of_one_file_that_are_one_place_are_copied(trees: tuple[Path, Path]) -> None:
    source, root = trees
    for name in ("p", "q"):
        (source / name).mkdir()
    (source / "p" / "f").write_text("two names")
    os.link(source / "p" / "f", source / "q" / "f")
    (root / "real").mkdir()
    for name in ("p", "q"):
        (root / name).symlink_to("real")
    copy(source, root)
    assert (root / "real" / "f").read_text() == "two names"


def test_only_files_and_folders_can_be_mounted(trees: tuple[Path, Path]) -> None:
    source, _ = trees
    os.mkfifo(source / "pipe")
    with (
        Folder.at(source) as here,
        pytest.raises(BadSource, match="source=pipe is neither a file nor a folder"),
    ):
        work.look_up(here, "pipe", COPY, is_context=False, made_after=2e9)


def digest(source: Path, *, is_context: bool = False, made_after: float = 2e9) -> str:
    with Folder.at(source) as here:
        item = Item(tree=Tree(root=here, moments=is_context), name="")
        return content_of([item], Digests(), made_after=made_after)


def three_equal_files(source: Path) -> None:
    for name in ("a", "b", "c"):
        (source / name).write_text("equal")
        os.utime(source / name, (1e9, 1e9))


def link(source: Path, name: str, other: str) -> None:
    (source / name).unlink()
    os.link(source / other, source / name)


@pytest.mark.parametrize(
    "change",
    [
        lambda source: os.utime(source / "a", (1e9, 1e9 + 1)),
        lambda source: os.setxattr(source / "a", "user.kind", b"text"),
        lambda source: os.setxattr(
            source / "a", "security.capability", bytes.fromhex("0100000280" + "00" * 15)
        ),
        lambda source: os.setxattr(source, "user.kind", b"folder"),
        lambda source: link(source, "c", "a"),
        lambda source: link(source, "c", "b"),
    ],
    ids=["time", "attribute", "capability", "attribute of a folder", "link", "another link"],
)
def test_the_digest_covers_what_a_copy_keeps(
    trees: tuple[Path, Path], change: Callable[[Path], None]
) -> None:
    source, _ = trees
    three_equal_files(source)
    before = digest(source)
    assert before == digest(source)
    change(source)
    assert before != digest(source)


def test_the_digest_covers_which_of_equal_files_are_one_file(trees: tuple[Path, Path]) -> None:
    source, root = trees
    for tree, linked in ((source, "a"), (root, "b")):
        three_equal_files(tree)
        link(tree, "c", linked)
        os.link(tree / {"a": "b", "b": "a"}[linked], tree.parent / f"other name in {tree.name}")
    assert digest(source) != digest(root)


def test_the_digest_leaves_out_what_a_copy_replaces(trees: tuple[Path, Path]) -> None:
    source, root = trees
    for tree, moment in ((source, 1.5e9), (root, 1.6e9)):
        three_equal_files(tree)
        os.utime(tree / "a", (moment, moment))
        os.setxattr(tree, "user.overlay.origin", tree.name.encode())
    os.link(source / "b", source.parent / "name in another folder")
    assert digest(source, is_context=True) == digest(root, is_context=True)
    assert digest(source, made_after=1.4e9) == digest(root, made_after=1.4e9)
    assert digest(source, made_after=1.7e9) != digest(root, made_after=1.7e9)


def test_a_copy_stops_at_the_step_s_limit_before_a_file_is_written(
    trees: tuple[Path, Path],
) -> None:
    """A hard link takes no space; a hole does, since the layer's tar contains it."""
    source, root = trees
    (source / "a").write_bytes(bytes(600 << 10))
    os.link(source / "a", source / "b")
    copy(source, root)
    with (source / "c").open("wb") as hole:
        hole.truncate(5 << 30)
    sentence = "line 2: COPY writes 5 GiB or more, and a step may write at most 1 MiB"
    with pytest.raises(BuildFailed, match=sentence):
        copy(source, root)
    assert not (root / "c").exists()
