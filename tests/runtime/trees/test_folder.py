"""Tests of Folder, the access to tenants' files, with real files.

No name leads out of the folder, and no link is followed.
"""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as some

from runtime.trees.folder import Folder
from runtime.trees.links import SymlinkLoop
from runtime.trees.walk import TooDeep, walk


@pytest.fixture
def place(tmp_path):
    (tmp_path / "outside").write_text("precious")
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


@pytest.fixture
def tree(place):
    with Folder.at(place) as folder:
        yield folder


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "a/../../outside",
        "up/outside",
        "a/up/up/outside",
        "root/etc/passwd",
        "/../outside",
    ],
)
def test_no_name_leads_out(tree, place, name):
    (place / "a").mkdir()
    (place / "up").symlink_to("..")
    (place / "a" / "up").symlink_to("..")
    (place / "root").symlink_to("/")
    for deed in (
        tree.status,
        tree.open_file,
        tree.names,
        tree.read_link,
        tree.make_folder,
        tree.create_file,
        tree.attributes,
    ):
        with pytest.raises((OSError, ValueError)):
            deed(name)
    assert tree.find(name) is None if ".." not in name.split("/") else True
    assert (place.parent / "outside").read_text() == "precious"


def test_a_magic_link_is_not_followed(place):
    held = os.open("/", os.O_PATH | os.O_DIRECTORY)
    with Folder.at(place) as tree:
        (place / "magic").symlink_to(f"/proc/{os.getpid()}/fd/{held}")
        for deed in (
            lambda: tree.names("magic"),
            lambda: tree.subfolder("magic"),
            lambda: tree.status("magic/etc"),
        ):
            with pytest.raises(OSError, match="directory|symbolic links"):
                deed()
    os.close(held)
    with pytest.raises(OSError, match="directory|symbolic"):
        Folder.at(place / "magic")


def test_metadata_is_set_on_the_link_itself_or_refused(tree, place):
    outside = place.parent / "outside"
    before = outside.stat()
    tree.make_link("link", "../outside")
    tree.set_owner("link", 5, 6)
    tree.set_mode("link", 0o777)
    tree.set_times("link", 1, 2)
    tree.set_attribute("link", "user.x", b"1")
    after = outside.stat()
    assert (after.st_uid, after.st_mode, after.st_mtime_ns) == (
        before.st_uid,
        before.st_mode,
        before.st_mtime_ns,
    )
    assert os.listxattr(outside) == []
    assert tree.status("link").st_uid == 5
    assert tree.status("link").st_mtime_ns == 2


def test_a_pipe_or_device_is_never_opened_as_a_file(tree):
    tree.make_pipe("pipe")
    with pytest.raises(OSError, match="not a regular file"):
        tree.open_file("pipe")
    tree.make_whiteout("gone")
    with pytest.raises(OSError, match="not a regular file|[Nn]o such device"):
        tree.open_file("gone")
    assert tree.attributes("gone") == {}


def test_a_hard_link_to_a_link_links_the_link_itself(tree, place):
    tree.make_link("link", "/etc/passwd")
    tree.make_hard_link("second", "link")
    assert stat.S_ISLNK((place / "second").lstat().st_mode)
    assert tree.status("second").st_nlink == 2


def test_links_are_resolved_as_after_chroot(tree, place):
    (place / "a" / "b").mkdir(parents=True)
    (place / "a" / "abs").symlink_to("/a/b")
    (place / "a" / "climb").symlink_to("../../../../a/b")
    (place / "to-file").symlink_to("a/abs/file")
    assert tree.resolve("a/abs/x") == "a/b/x"
    assert tree.resolve("a/climb") == "a/b"
    assert tree.resolve("to-file") == "a/b/file"
    assert tree.resolve("to-file", follow_last=False) == "to-file"
    assert tree.resolve("../../etc") == "etc"
    (place / "x").symlink_to("y")
    (place / "y").symlink_to("x")
    with pytest.raises(SymlinkLoop):
        tree.resolve("x")


@given(name=some.text(alphabet=some.characters(blacklist_categories=("Cs",)), max_size=40))
def test_any_name_stays_inside(tmp_path_factory, name):
    top = tmp_path_factory.mktemp("any") / "tree"
    top.mkdir()
    with Folder.at(top) as tree:
        try:
            tree.make_folders(name)
        except (OSError, ValueError):
            pass
    assert [path.name for path in top.parent.iterdir()] == ["tree"]


def test_invalid_utf8_in_names_and_links_is_kept(tree, place):
    name = os.fsdecode(b"\xff\xfe name")
    tree.write_file(name, b"x")
    tree.make_link("link", os.fsdecode(b"a//b/./\xff"))
    assert b"\xff\xfe name" in [os.fsencode(found) for found in tree.names()]
    assert os.readlink(os.fsencode(place) + b"/link") == b"a//b/./\xff"  # noqa: PTH115  # bytes
    assert tree.read_link("link") == os.fsdecode(b"a//b/./\xff")


def test_a_walk_yields_folders_before_their_content_and_follows_no_link(tree, place):
    (place / "b" / "c").mkdir(parents=True)
    (place / "b" / "c" / "f").write_text("x")
    (place / "a").symlink_to("b")
    assert [found.path for found in walk(tree)] == ["a", "b", "b/c", "b/c/f"]
    assert [found.path for found in walk(tree, enters=lambda path: path != "b")] == ["a", "b"]


def test_a_tree_that_is_too_deep_is_refused(tree, place):
    here = os.open(place, os.O_RDONLY)
    for _ in range(4200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises((TooDeep, OSError)):
        for _ in walk(tree):
            pass
    tree.remove("d")
    assert tree.names() == []


def test_holes_stay_holes(tree, place):
    with (place / "sparse").open("wb") as file:
        file.seek(50 << 20)
        file.write(b"end")
    tree.copy_file("sparse", tree, "copy")
    status = (place / "copy").stat()
    assert (place / "copy").read_bytes() == (place / "sparse").read_bytes()
    assert status.st_blocks * 512 < 1 << 20


def test_no_descriptor_is_left_open(place):
    before = len(os.listdir("/proc/self/fd"))
    with Folder.at(place) as tree:
        for number in range(40):
            tree.make_folders(f"a{number}/b/c")
            tree.write_file(f"a{number}/b/c/f", b"x")
        tree.rename("a1", "z")
        tree.remove("a2")
        list(walk(tree))
        with pytest.raises(OSError, match="such file"):
            tree.status("nothing/there")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("change", ["remove", "replace"])
def test_a_walk_skips_vanished_folders_only_if_the_tree_is_in_use(tree, place, change):
    def seen(*, is_in_use):
        (place / "gone").mkdir()
        for found in walk(tree, is_in_use=is_in_use):
            if found.path == "a/file":
                (place / "gone").rmdir()
                if change == "replace":
                    (place / "gone").symlink_to("z")
            yield found.path

    for name in ("a", "z"):
        (place / name).mkdir()
        (place / name / "file").write_text("x")
    assert list(seen(is_in_use=True)) == ["a", "gone", "z", "a/file", "z/file"]
    (place / "gone").unlink(missing_ok=True)
    with pytest.raises(OSError, match="gone"):
        list(seen(is_in_use=False))


def test_a_pipe_gets_no_user_attribute(tree):
    """An archive may contain one for a pipe; only files and folders can have it (xattr(7))."""
    tree.make_pipe("pipe")
    tree.set_attribute("pipe", "user.origin", b"elsewhere")
    assert "user.origin" not in tree.attributes("pipe")
