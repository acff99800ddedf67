"""Two lanes collect the tests apart, and refuse to run when the names that they gave differ."""

import gzip

from tests.conftest import pytest_make_parametrize_id


def test_packed_bytes_name_a_test_the_same_at_any_time() -> None:
    names = {pytest_make_parametrize_id(gzip.compress(b"text", mtime=second), "data") for second in (1, 2)}
    assert names == {"data-of-24-bytes"}


def test_short_bytes_name_a_test_themselves() -> None:
    assert pytest_make_parametrize_id(b"BZh9", "data") is None
