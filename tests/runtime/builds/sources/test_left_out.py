"""Tests of the folders of an upload that are left out: those that a build makes again."""

from __future__ import annotations

import gzip
import random
import tarfile
from pathlib import Path

import pytest
import zstandard

from tests.runtime.builds.sources.test_archive import (
    names_below,
    refusal,
    special,
    special_with_size,
    tar_bytes,
    unpacked,
    zip_bytes,
)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
def test_what_tools_make_is_left_out_with_one_line(name: str, tmp_path: Path) -> None:
    members = [
        ("app.py", b"1"),
        (".git/config", b""),
        (".venv/bin/activate", b""),
        (".venv/pyvenv.cfg", b""),
        ("web/node_modules/x/index.js", b"x"),
        ("pkg/__pycache__/a.pyc", b"x"),
        (".output/server/node_modules/y/index.mjs", b"kept"),
    ]
    data = tar_bytes(*members) if name.endswith("gz") else zip_bytes(*members)
    (tmp_path / "archive").write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    done = unpacked(tmp_path, name)
    assert names_below(tmp_path / "tree") == {"app.py", ".output/server/node_modules/y/index.mjs"}
    assert done.files == 2
    assert done.left_out == (
        "Left out of the source: .git (1 entry), .venv (2 entries), __pycache__ (1 entry),"
        " node_modules (1 entry). The build makes what it needs of them."
    )


def test_an_environment_of_python_is_left_out_by_its_mark(tmp_path: Path) -> None:
    members = [
        ("app.py", b"1"),
        special("env3", tarfile.DIRTYPE),
        special("env3/bin/python", tarfile.SYMTYPE, "/usr/bin/python3"),
        special("env3/bin/python3", tarfile.SYMTYPE, "python"),
        ("env3/pyvenv.cfg", b""),
        ("lib/x.py", b""),
    ]
    (tmp_path / "archive").write_bytes(tar_bytes(*members))
    done = unpacked(tmp_path, "a.tar")
    assert names_below(tmp_path / "tree") == {"app.py", "lib/x.py"}
    assert "env3 (5 entries)" in done.left_out
    assert done.files == 2


def test_an_environment_that_is_the_app_itself_is_kept(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(tar_bytes(("shop/pyvenv.cfg", b""), ("shop/app.py", b"")))
    done = unpacked(tmp_path, "a.tar")
    assert (done.unwrapped, done.left_out) == ("shop", "")
    assert "app.py" in names_below(tmp_path / "tree")


def test_an_absolute_link_outside_of_an_environment_is_refused_with_its_name(
    tmp_path: Path,
) -> None:
    link = special("bin/python", tarfile.SYMTYPE, "/usr/bin/python3")
    data = tar_bytes(link, ("env/pyvenv.cfg", b""))
    said = refusal(data, "a.tar", tmp_path)
    assert "The link 'bin/python' points to '/usr/bin/python3', outside the archive" in said


def test_a_large_node_modules_is_read_over(tmp_path: Path) -> None:
    packer = zstandard.ZstdCompressor().compressobj()
    chance, size = random.Random(1), 1 << 20
    pieces = [packer.compress(tar_bytes(("app.js", b"x"))[:1024])]
    for number in range(1100):  # more bytes than a source may have
        head = special_with_size(f"node_modules/{number}", size)
        pieces.append(packer.compress(head + chance.randbytes(8192) + bytes(size - 8192)))
    (tmp_path / "archive").write_bytes(
        b"".join((*pieces, packer.compress(bytes(1024)), packer.flush()))
    )
    done = unpacked(tmp_path, "a.tar.zst")
    assert (done.files, done.size) == (1, 1)
    assert "node_modules (1,100 entries)" in done.left_out
