"""The archive that `slipway deploy` uploads."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from slipway_cli.errors import CommandFailed
from slipway_cli.packing import pack


def _packed(folder: Path) -> dict[str, tarfile.TarInfo]:
    target = io.BytesIO()
    pack(folder, target)
    target.seek(0)
    with tarfile.open(fileobj=target, mode="r:gz") as archive:
        return {entry.name: entry for entry in archive}


def _write(folder: Path, *names: str, text: str = "x") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.test", *words], cwd=folder, check=True
    )


@pytest.mark.parametrize("repository", [True, False])
def test_ignored_files_stay_here(tmp_path: Path, *, repository: bool) -> None:
    _write(tmp_path, "app.py", "lib/a.py", "lib/b.pyc", "node_modules/x/index.js", "logs/today.log")
    _write(tmp_path, "logs/keep.log", "secret.env", "docs/big.pdf", "a name with spaces.txt")
    (tmp_path / ".gitignore").write_text("node_modules/\n*.pyc\n/secret.env\n")
    (tmp_path / "logs/.gitignore").write_text("*.log\n!keep.log\n")
    (tmp_path / ".slipwayignore").write_text("docs/\n")
    if repository:
        _git(tmp_path, "init", "-q")
    assert sorted(_packed(tmp_path)) == [
        ".gitignore",
        ".slipwayignore",
        "a name with spaces.txt",
        "app.py",
        "lib/a.py",
        "logs/.gitignore",
        "logs/keep.log",
    ]


def test_a_tracked_file_is_packed_although_a_pattern_matches_it(tmp_path: Path) -> None:
    _write(tmp_path, "dist/index.html", "dist/other.html")
    (tmp_path / ".gitignore").write_text("dist\n")
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", "-f", "dist/index.html")
    assert sorted(_packed(tmp_path)) == [".gitignore", "dist/index.html"]


def test_a_tracked_file_that_was_deleted_is_left_out(tmp_path: Path) -> None:
    _write(tmp_path, "a", "b")
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", ".")
    (tmp_path / "a").unlink()
    assert sorted(_packed(tmp_path)) == ["b"]


def test_a_folder_inside_a_repository_is_packed_alone(tmp_path: Path) -> None:
    _write(tmp_path, "api/app.py", "web/index.html", "api/cache/x")
    (tmp_path / ".gitignore").write_text("cache\n")
    _git(tmp_path, "init", "-q")
    assert sorted(_packed(tmp_path / "api")) == ["app.py"]


def test_a_submodule_is_packed_with_its_files(tmp_path: Path) -> None:
    part, whole = tmp_path / "part", tmp_path / "whole"
    for folder in (part, whole):
        folder.mkdir()
        _git(folder, "init", "-q")
    _write(part, "lib.py", "skip.log")
    (part / ".gitignore").write_text("*.log\n")
    _git(part, "add", ".")
    _git(part, "commit", "-qm", "x")
    _write(whole, "app.py")
    _git(
        whole,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        str(part),
        "vendor",
    )
    names = sorted(_packed(whole))
    assert "vendor/lib.py" in names
    assert not any(name.startswith("vendor/.git/") or name.endswith(".log") for name in names)


def test_links_and_the_executable_bit_stay_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    _write(outside, "secret")
    folder = tmp_path / "app"
    _write(folder, "run.sh")
    (folder / "run.sh").chmod(0o755)
    (folder / "current").symlink_to("run.sh")
    (folder / "away").symlink_to(outside)
    os.mkfifo(folder / "pipe")
    found = _packed(folder)
    assert sorted(found) == ["away", "current", "run.sh"]
    assert found["run.sh"].mode & 0o777 == 0o755
    assert (found["current"].linkname, found["away"].linkname) == ("run.sh", str(outside))


def test_equal_folders_give_equal_archives(tmp_path: Path) -> None:
    archives = []
    for name in ("one", "two"):
        _write(tmp_path / name, "b", "a/c")
        os.utime(tmp_path / name / "b", (len(archives), len(archives)))
        target = io.BytesIO()
        pack(tmp_path / name, target)
        archives.append(target.getvalue())
    assert archives[0] == archives[1]


def test_names_in_other_encodings_are_packed(tmp_path: Path) -> None:
    Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9")).write_text("x")
    _git(tmp_path, "init", "-q")
    assert [os.fsencode(name) for name in _packed(tmp_path)] == [b"caf\xe9"]


@pytest.mark.parametrize("case", ["empty", "all ignored", "no folder"])
def test_nothing_to_deploy_is_refused(tmp_path: Path, case: str) -> None:
    folder = tmp_path / "app"
    if case != "no folder":
        folder.mkdir()
    if case == "all ignored":
        _write(folder, "a", "b")
        (folder / ".slipwayignore").write_text("*\n")
    with pytest.raises(CommandFailed, match="no files to deploy|is not a folder"):
        pack(folder, io.BytesIO())
