"""Tests of sources with pointer files of Git LFS."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from runtime.builds.source import pointers
from tests.runtime.builds.sources.test_archive import (
    names_below,
    refusal,
    tar_bytes,
    unpacked,
    zip_bytes,
)

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip", "a.tar"])
@pytest.mark.parametrize("top", ["", "app-main/"])
def test_a_pointer_is_refused_with_its_name_and_the_fix(
    name: str, top: str, tmp_path: Path
) -> None:
    members = [(f"{top}app.py", b"1"), (f"{top}media/intro.mp4", POINTER)]
    data = zip_bytes(*members) if name == "a.zip" else tar_bytes(*members)
    data = gzip.compress(data) if name == "a.tar.gz" else data
    words = refusal(data, name, tmp_path)
    assert "'media/intro.mp4' is a pointer file of Git LFS." in words
    assert "git lfs pull" in pointers.refusal(["media/intro.mp4"]).hint


def test_the_first_of_many_pointers_are_named(tmp_path: Path) -> None:
    data = tar_bytes(*((f"{number}.bin", POINTER) for number in range(1005)))
    words = refusal(data, "a.tar", tmp_path)
    assert "'0.bin', '1.bin', '2.bin' and 1,002 more are pointer files of Git LFS." in words


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"# Notes\n" + POINTER,
        POINTER + b"x" * 1024,
        b"version https://git-lfs.github.com/spec/v1 is the first line of a pointer.\n",
    ],
)
def test_other_files_are_kept(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(tar_bytes(("notes.txt", content), ("big", b"x" * 300_000)))
    unpacked(tmp_path, "a.tar")
    assert names_below(tmp_path / "tree") == {"notes.txt", "big"}
    assert (tmp_path / "tree/notes.txt").read_bytes() == content


def test_a_pointer_in_a_folder_that_is_left_out_does_not_matter(tmp_path: Path) -> None:
    members = [
        ("app.py", b"1"),
        ("node_modules/x/film.mp4", POINTER),
        ("env3/lib/film.mp4", POINTER),
        ("env3/pyvenv.cfg", b""),
    ]
    (tmp_path / "archive").write_bytes(tar_bytes(*members))
    unpacked(tmp_path, "a.tar")
    assert names_below(tmp_path / "tree") == {"app.py"}
