"""Tests that root refuses the answers of a helper that was taken over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from runtime.builds import install_steps
from runtime.builds.source.archive import Unpacked
from runtime.builds.source.checkout import Checkout
from runtime.builds.source.code import Texts
from runtime.confined import answers
from runtime.confined.session import Confinement, Session
from runtime.contract.manifest import LARGEST, AppFile
from runtime.errors import HelperFailed
from runtime.images.confined_reader import ConfinedReader
from runtime.images.digest import Digest


class Liar:
    """A helper that was taken over: it returns any value of the right type."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    @contextmanager
    def tree(
        self, path: Path, *, writable: bool = False, as_written: bool = False
    ) -> Iterator[None]:
        yield None

    def call(self, function: Callable[..., object], **arguments: object) -> Any:
        return self.answer


class LyingConfinement:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    @contextmanager
    def session(self, team: int = 0) -> Iterator[Liar]:
        yield Liar(self.answer)


def checkout(answer: object, path: Path) -> Checkout:
    return Checkout(path, cast(Session, Liar(answer)))


BAD_NAMES = ["../../etc/cron.d/x", "/etc/cron.d/x", "a/../../x", "a//b", ".", "", "a/", "a\0b"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_file_that_was_not_requested_is_not_accepted(name: str, tmp_path: Path) -> None:
    source = checkout({"package.json": b"{}", name: b"root's"}, tmp_path)
    with pytest.raises(HelperFailed, match="not requested"):
        source.read_files(("package.json",))
    with pytest.raises(HelperFailed, match="not requested"):
        checkout({}, tmp_path).read_files(("package.json",))


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_leads_out_of_its_folder_is_not_accepted(name: str, tmp_path: Path) -> None:
    with pytest.raises(HelperFailed, match="out of its folder"):
        checkout({name: b"x"}, tmp_path).read_files((name,))
    with pytest.raises(HelperFailed, match="out of its folder"):
        checkout({name: b"x"}, tmp_path).digests()
    with pytest.raises(HelperFailed, match="out of its folder"):
        checkout(Texts(files=frozenset({name}), texts={}), tmp_path).source(AppFile())
    with pytest.raises(HelperFailed, match="out of its folder"):
        install_steps._written(tmp_path / "inputs", {name: b"x"})
    assert list(tmp_path.iterdir()) == []


def test_names_with_dots_and_folders_are_accepted(tmp_path: Path) -> None:
    names = ("a/b/..c", "...", ".npmrc", "\udcff")
    assert checkout(dict.fromkeys(names, b""), tmp_path).read_files(names) is not None


def test_texts_of_files_that_the_source_does_not_have_are_not_accepted(tmp_path: Path) -> None:
    source = checkout(Texts(files=frozenset({"a"}), texts={"b": ""}), tmp_path)
    with pytest.raises(HelperFailed, match="not requested"):
        source.source(AppFile())


def test_more_bytes_than_were_requested_are_not_accepted(tmp_path: Path) -> None:
    with pytest.raises(HelperFailed, match="5 bytes"):
        checkout(b"123456", tmp_path).text("Procfile", 5)
    with pytest.raises(HelperFailed, match="bytes"):
        checkout({"slipway.toml": bytes(LARGEST + 2)}, tmp_path).app_file()
    with pytest.raises(HelperFailed, match="not requested"):
        checkout({"other.toml": b""}, tmp_path).app_file()


def test_impossible_numbers_of_an_archive_are_not_accepted(tmp_path: Path) -> None:
    packed = tmp_path / "a.zip"
    packed.write_bytes(b"")
    done = Unpacked(kind="zip", files=-1, size=0, unwrapped="", left_out="")
    with pytest.raises(HelperFailed, match="number"):
        checkout(done, tmp_path / "source").unpack(packed, "a.zip")


@pytest.mark.parametrize("name", ["-oDir::Etc=/x", "./evil.deb", "a,b", "A", "", "libc6\n", "a/b"])
def test_words_that_are_not_package_names_are_not_accepted(name: str) -> None:
    with pytest.raises(HelperFailed, match="package name"):
        answers.packages((name,))
    answers.packages(("libstdc++6", "libgtk-3-0t64", "zlib1g"))


def test_a_digest_that_is_a_path_is_not_accepted(tmp_path: Path) -> None:
    lying = cast(Confinement, LyingConfinement("sha256:../../etc/cron.d/x"))
    with pytest.raises(HelperFailed, match="invalid value"):
        ConfinedReader(blobs=tmp_path, confinement=lying).fingerprint(tmp_path)
    assert answers.parsed(Digest.parse, Digest.of(b"")) == Digest.of(b"")


@pytest.mark.parametrize("value", [-1, 1 << 63, 10**30])
def test_impossible_sizes_are_not_accepted(value: int) -> None:
    with pytest.raises(HelperFailed, match="number"):
        answers.number(value)
