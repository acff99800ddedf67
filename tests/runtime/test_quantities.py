"""Amounts with a unit: as text, and parsed back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.contract.quantities import Bytes, Millicores


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 Bytes"),
        (1, "1 Byte"),
        (1000, "1000 Bytes"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (10 * 1024, "10 KiB"),
        (2**20 - 1, "1 MiB"),
        (2 * 2**30, "2 GiB"),
        (1.25 * 2**30, "1.2 GiB"),
        (3 * 2**40, "3 TiB"),
        (-1536, "-1.5 KiB"),
    ],
)
def test_a_size_has_one_decimal_unless_it_is_zero(size: float, text: str):
    assert str(Bytes(size)) == text


@given(st.integers(min_value=0, max_value=2**50))
def test_the_exact_text_of_a_size_is_read_as_the_same_size(size: int):
    assert Bytes.parse(Bytes(size).exact()) == size


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 Bytes"), (1.25 * 2**30, "1.25 GiB"), (512 * 2**20, "512 MiB"), (1537, "1.501 KiB")],
)
def test_the_exact_text_is_short_if_possible(size: float, text: str):
    assert Bytes(size).exact() == text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512M", 512 * 2**20),
        (" 1.5 GiB ", 1.5 * 2**30),
        ("4096", 4096),
        ("7 b", 7),
        ("512 Bytes", 512),
        ("1 Byte", 1),
        ("2kb", 2048),
        ("1T", 2**40),
    ],
)
def test_a_size_is_read_in_binary_units(text: str, size: float):
    assert Bytes.parse(text) == size


@pytest.mark.parametrize(
    "text", ["", "M", "1.M", "-1", "5 PiB", "1 KBytes", "1i", "9" * 400, "1e3"]
)
def test_other_texts_are_not_sizes(text: str):
    with pytest.raises(ValueError, match="is not a size; write for example 512M or 1.5GiB"):
        Bytes.parse(text)


def test_cpu_is_printed_in_cores():
    assert [str(Millicores(amount)) for amount in (250, 1000, 1500)] == [
        "0.25 CPU",
        "1 CPU",
        "1.5 CPU",
    ]
