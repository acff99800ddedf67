"""Tests of test ids.

Two groups of workers collect the tests separately, and pytest-xdist needs equal ids.
"""

import gzip

from tests.conftest import pytest_make_parametrize_id


def test_the_id_of_compressed_bytes_does_not_depend_on_the_time() -> None:
    names = {
        pytest_make_parametrize_id(gzip.compress(b"text", mtime=second), "data")
        for second in (1, 2)
    }
    assert names == {"data-of-24-bytes"}


def test_short_bytes_keep_their_own_id() -> None:
    assert pytest_make_parametrize_id(b"BZh9", "data") is None
