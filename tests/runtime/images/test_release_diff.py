"""The comparison of the images of two releases: files, packages, and changed lines."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from runtime.images.layers import release_diff
from runtime.images.layers.release_diff import PackageChange, ReleaseDiff, compare_releases
from runtime.trees.folder import Folder

SITE = "opt/venv/lib/python3.13/site-packages"


def stack(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    folder.mkdir(exist_ok=True)
    return folder


def compared(
    tmp_path: Path, before: Mapping[str, str | bytes], after: Mapping[str, str | bytes]
) -> ReleaseDiff:
    with ExitStack() as opened:
        old, new = (
            opened.enter_context(Folder.at(stack(tmp_path / name, files)))
            for name, files in (("old", before), ("new", after))
        )
        return compare_releases((old,), (new,), "app")


def lines_of(found: ReleaseDiff) -> dict[str, tuple[str, ...]]:
    return {text.path: text.lines for text in found.texts}


def test_changed_lines_of_code_are_a_unified_diff(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        {"app/main.py": "import a\nrun()\n", "app/gone.py": "bye\n", "etc/motd": "x\n"},
        {"app/main.py": "import b\nrun()\n", "app/new.py": "hi\n", "etc/motd": "y\n"},
    )
    assert lines_of(found) == {
        "/app/main.py": ("@@ -1,2 +1,2 @@", "-import a", "+import b", " run()"),
        "/app/gone.py": ("@@ -1 +0,0 @@", "-bye"),
        "/app/new.py": ("@@ -0,0 +1 @@", "+hi"),
    }
    assert ("C", "/etc/motd") in {(change.kind, change.path) for change in found.changes}


def test_packages_are_found_by_their_installed_files(tmp_path: Path) -> None:
    def files(flask: str, left: str, ssl: str) -> dict[str, str]:
        return {
            f"{SITE}/flask-{flask}.dist-info/METADATA": flask,
            f"{SITE}/same-1.0.dist-info/METADATA": "same",
            "app/node_modules/left-pad/package.json": json.dumps({"version": left}),
            "app/node_modules/@scope/x/package.json": json.dumps({"version": "1.0.0"}),
            "var/lib/dpkg/status": f"Package: libssl3\nVersion: {ssl}\n\nPackage: a\nVersion: 1\n",
        }

    after = files("3.1", "1.3.0", "3.0.17")
    del after["app/node_modules/@scope/x/package.json"]
    found = compared(tmp_path, files("3.0", "1.2.0", "3.0.16"), after)
    assert found.packages == (
        PackageChange(system="Debian", name="libssl3", before="3.0.16", after="3.0.17"),
        PackageChange(system="Node.js", name="@scope/x", before="1.0.0", after=""),
        PackageChange(system="Node.js", name="left-pad", before="1.2.0", after="1.3.0"),
        PackageChange(system="Python", name="flask", before="3.0", after="3.1"),
    )
    assert lines_of(found) == {}, "packages are not code"


@pytest.mark.parametrize(
    "content",
    [b"\0binary", b"\xff\xfe not text", b"x" * 70_000, b"line\n" * 1501],
    ids=["binary", "encoding", "large", "long"],
)
def test_files_that_are_not_short_texts_are_only_listed(tmp_path: Path, content: bytes) -> None:
    found = compared(tmp_path, {"app/x": "old\n"}, {"app/x": content})
    assert found.texts == ()
    assert [change.path for change in found.changes] == ["/app/x"]


def test_control_characters_in_names_and_lines_are_escaped(tmp_path: Path) -> None:
    found = compared(tmp_path, {}, {"app/a\x1b[31m": "x\x1b]0;t\x07 \u202eabc\n"})
    assert lines_of(found) == {"/app/a\\x1b[31m": ("@@ -0,0 +1 @@", "+x\\x1b]0;t\\x07 \\u202eabc")}


def test_hostile_lists_of_packages_are_read_within_limits(tmp_path: Path) -> None:
    deep = "[" * 50_000
    found = compared(
        tmp_path,
        {},
        {
            "app/node_modules/deep/package.json": deep,
            "app/node_modules/list/package.json": "[1]",
            "app/node_modules/number/package.json": '{"version": 1}',
            "app/node_modules/long/package.json": json.dumps({"version": "9" * 9999}),
            "var/lib/dpkg/status": "Version: 1\nPackage: no-version\n",
        },
    )
    assert [(change.name, change.after) for change in found.packages] == [("long", "9" * 60)]


def test_the_size_of_all_differences_is_limited(tmp_path: Path) -> None:
    files = {f"app/{number:03}.txt": f"{'y' * 300}\n" * 20 for number in range(60)}
    found = compared(tmp_path, {}, files)
    assert sum(len(line) for text in found.texts for line in text.lines) < release_diff.MOST_TEXT
    assert found.texts[-1].is_cut
    assert found.texts_left_out == 60 - len(found.texts)
