"""Tests of reading the texts of a source in the encodings that editors and shells write."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.builds.source.code import read_source
from runtime.errors import BadSource
from runtime.trees.folder import Folder


def texts(folder: Path) -> dict[str, str]:
    with Folder.at(folder) as tree:
        return read_source(tree).texts


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["requirements.txt", "requirements/base.txt"])
def test_a_text_with_a_byte_order_mark_is_read(tmp_path: Path, name: str, encoding: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes("django\ngunicorn\n".encode(encoding))
    assert texts(tmp_path) == {name: "django\ngunicorn\n"}


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("django\n".encode("utf-16-le"), "zero bytes: it is UTF-16 text without a mark"),
        (b"\xff\xfed", "is not UTF-8 text"),
        (b"django # \xe9\n", "is not UTF-8 text"),
    ],
)
def test_another_encoding_is_refused_with_the_remedy(
    tmp_path: Path, data: bytes, sentence: str
) -> None:
    (tmp_path / "requirements.txt").write_bytes(data)
    with pytest.raises(BadSource, match=sentence) as caught:
        texts(tmp_path)
    assert caught.value.hint == "Save it as UTF-8."
