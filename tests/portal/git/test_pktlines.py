"""An error line after git's own output, however the bytes are split."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.gitserver.pktlines import Answer, frame, remote_error

REPORT = frame(b"\1" + frame(b"unpack ok\n") + b"0000")
SAID = frame(b"\2Resolving deltas\r")


def answered(
    data: bytes, sentence: str, *, is_push: bool = True, cuts: list[int] | None = None
) -> bytes:
    answer, passed, place = Answer(is_push=is_push), b"", 0
    for cut in [*sorted(cuts or []), len(data)]:
        passed += answer.feed(data[place:cut])
        place = max(place, cut)
    return passed + answer.end(sentence)


@given(cuts=st.lists(st.integers(0, len(SAID + REPORT) + 4)))
def test_a_response_is_passed_on_unchanged(cuts: list[int]) -> None:
    assert answered(SAID + REPORT + b"0000", "", cuts=cuts) == SAID + REPORT + b"0000"
    assert (
        answered(SAID + REPORT + b"0000", "No.", cuts=cuts)
        == SAID + REPORT + frame(b"\2\n! No.\n") + b"0000"
    )


@given(st.binary(max_size=300))
def test_bytes_that_are_not_packet_lines_are_passed_on_too(data: bytes) -> None:
    assert answered(data, "") == data


@pytest.mark.parametrize(
    ("data", "is_push", "wanted"),
    [
        (b"", True, remote_error("No.")),
        (SAID, True, SAID + frame(b"\3No.\n") + b"0000"),
        (SAID + SAID[:9], True, SAID + frame(b"\3No.\n") + b"0000"),
        (frame(b"unpack ok\n") + b"0000", True, frame(b"unpack ok\n") + b"0000"),
        (b"", False, frame(b"ERR No.\n")),
        (frame(b"packfile\n"), False, frame(b"packfile\n") + frame(b"ERR No.\n")),
        (
            frame(b"packfile\n") + frame(b"\1PACK"),
            False,
            frame(b"packfile\n") + frame(b"\1PACK") + frame(b"\3No.\n") + b"0000",
        ),
    ],
    ids=[
        "nothing",
        "cut off",
        "cut in a frame",
        "a client without bands",
        "fetch: nothing",
        "fetch: before the pack",
        "fetch: in the pack",
    ],
)
def test_a_response_that_was_cut_off_ends_with_the_sentence(
    data: bytes, is_push: bool, wanted: bytes
) -> None:
    assert answered(data, "No.", is_push=is_push) == wanted
