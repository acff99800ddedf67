"""Tests of the comparison of a canary with the other instances.

Bad luck never counts as evidence; a clear difference is found soon.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.converge.canary_analysis import GroupTraffic, judge


def said(canary: GroupTraffic, rest: GroupTraffic) -> str:
    return judge(canary, rest, name="v2", other="v1")


GOOD = GroupTraffic(requests=10_000, failed=2, median=0.020, tail=0.060)


def test_without_requests_there_is_no_finding():
    assert said(GroupTraffic(), GroupTraffic()) == ""
    assert said(GroupTraffic(), GOOD) == ""


def test_a_canary_like_the_rest_has_no_finding():
    assert said(GroupTraffic(requests=1000, failed=0, median=0.021, tail=0.066), GOOD) == ""
    assert said(GOOD, GOOD) == ""


def test_five_percent_errors_are_reported_with_the_numbers_of_both_sides():
    reason = said(GroupTraffic(requests=200, failed=10, median=0.020, tail=0.060), GOOD)
    assert (
        reason
        == "v2 failed 10 of 200 (5 %) of its requests with a 5xx or without an answer; v1 failed 2"
        " of 10,000 (0.02 %) in the same time."
    )


def test_five_percent_errors_are_found_in_a_few_hundred_requests():
    dice = random.Random(4)
    for _ in range(50):
        failed, found = 0, None
        for number in range(1, 1001):
            failed += dice.random() < 0.05
            if said(
                GroupTraffic(requests=number, failed=failed), GroupTraffic(requests=number * 9)
            ):
                found = number
                break
        assert found is not None
        assert found < 600
    for _ in range(20):
        failed = 0
        for number in range(1, 3001):
            failed += dice.random() < 0.001
            assert not said(
                GroupTraffic(requests=number, failed=failed), GroupTraffic(requests=number * 9)
            )


def test_a_canary_is_not_blamed_if_the_rest_fails_as_often():
    assert (
        said(GroupTraffic(requests=500, failed=30), GroupTraffic(requests=5000, failed=300)) == ""
    )
    assert (
        said(GroupTraffic(requests=500, failed=90), GroupTraffic(requests=5000, failed=300)) != ""
    )


def test_a_doubled_time_is_reported_and_a_few_percent_are_not():
    assert "takes 40 ms for half of its requests" in said(
        GroupTraffic(requests=200, median=0.040, tail=0.120), GOOD
    )
    assert "takes 60 ms for half of its requests" in said(
        GroupTraffic(requests=60, median=0.060, tail=0.120), GOOD
    )
    swift = GroupTraffic(requests=1000, median=0.004, tail=0.012)
    # A busy machine can cause such a difference.
    assert said(GroupTraffic(requests=60, median=0.014, tail=0.030), swift) == ""
    assert said(GroupTraffic(requests=200, median=0.014, tail=0.030), swift) != ""
    assert said(GroupTraffic(requests=100, median=0.025, tail=0.070), GOOD) == ""
    assert said(GroupTraffic(requests=20, median=0.400, tail=0.900), GOOD) == ""
    assert said(GroupTraffic(requests=300, median=0.020, tail=0.300), GOOD) != ""
    quick = GroupTraffic(requests=1000, median=0.001, tail=0.002)
    # One millisecond more is within the noise of the machine.
    assert said(GroupTraffic(requests=1000, median=0.002, tail=0.004), quick) == ""


def test_one_process_that_was_killed_for_memory_is_enough():
    assert (
        said(GroupTraffic(memory_kills=1), GOOD)
        == "v2 ran out of memory: the kernel killed 1 process of it."
    )


@pytest.mark.parametrize("rest", [GroupTraffic(), GroupTraffic(requests=1), GOOD])
def test_three_failed_requests_are_enough_if_all_fail(rest):
    assert said(GroupTraffic(requests=2, failed=2), rest) == ""
    assert said(GroupTraffic(requests=3, failed=3), rest) != ""


@given(st.integers(0, 10**6), st.floats(0, 1), st.integers(0, 10**6), st.floats(0, 1))
def test_any_counts_give_a_result(requests, share, others, their_share):
    canary = GroupTraffic(requests=requests, failed=int(requests * share))
    rest = GroupTraffic(requests=others, failed=int(others * their_share))
    assert isinstance(said(canary, rest), str)
    if requests and others and canary.failed / requests <= rest.failed / others:
        assert said(canary, rest) == ""


def test_a_canary_with_more_requests_per_instance_is_not_called_slow():
    slow, quick = (
        GroupTraffic(requests=1000, median=0.06, tail=0.13),
        GroupTraffic(requests=1000, median=0.02, tail=0.08, instances=2),
    )
    assert judge(slow, quick, name="v2", other="v1") == ""
    assert "for half of its requests" in judge(
        slow, replace(quick, instances=1), name="v2", other="v1"
    )
