"""Tests of test ids.

Two groups of workers collect the tests separately, and pytest-xdist needs equal ids.
"""

import gzip
from datetime import UTC, datetime

import pytest

from tests.conftest import pytest_make_parametrize_id


def test_the_id_of_compressed_bytes_does_not_depend_on_the_time() -> None:
    names = {
        pytest_make_parametrize_id(gzip.compress(b"text", mtime=second), "data")
        for second in (1, 2)
    }
    assert names == {"data-of-24-bytes"}


def test_short_bytes_keep_their_own_id() -> None:
    assert pytest_make_parametrize_id(b"BZh9", "data") is None


def test_a_value_with_the_present_time_is_refused_and_another_is_not() -> None:
    with pytest.raises(ValueError, match="depends on the clock"):
        pytest_make_parametrize_id(f"from={datetime.now(UTC):%Y-%m-%dT%H:%M}:59", "query")
    assert pytest_make_parametrize_id("from=2020-01-01T00:00", "query") is None
