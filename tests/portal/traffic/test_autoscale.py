"""Autoscaling decisions: tables for known cases, Hypothesis for properties. Samples come every two
seconds."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.traffic.autoscale import Decision, Sample, ScalingBounds, Target, decide

NOW = 10_000.0


def wish(target=Target.REQUESTS, value=20, least=1, most=10, cpu=1000):
    return ScalingBounds(target=target, value=value, least=least, most=most, cpu=cpu)


def samples(seconds, *, until=NOW, ready=2, in_flight=0.0, waiting=0.0, cpu=0.0, p95=None):
    moments = [until - 2.0 * back for back in range(int(seconds // 2) + 1)]
    return [
        Sample(at=at, ready=ready, in_flight=in_flight, waiting=waiting, cpu=cpu, p95=p95)
        for at in reversed(moments)
    ]


@pytest.mark.parametrize(
    ("target", "value", "measured", "count", "expected", "reason"),
    [
        (
            Target.REQUESTS,
            20,
            {"in_flight": 74.0},
            2,
            4,
            "37 requests in flight per instance, target 20",
        ),
        (Target.REQUESTS, 20, {"in_flight": 40.0}, 2, 2, ""),
        (
            Target.REQUESTS,
            20,
            {"in_flight": 20.0},
            2,
            1,
            "10 requests in flight per instance, target 20",
        ),
        (Target.CPU, 70, {"cpu": 1900.0}, 2, 3, "95 % of its CPU in use per instance, target 70 %"),
        (Target.CPU, 70, {"cpu": 1300.0}, 2, 2, ""),
        (
            Target.LATENCY,
            200,
            {"p95": 290.0},
            2,
            3,
            "95 % of requests take up to 290 ms, target 200 ms",
        ),
        (Target.LATENCY, 200, {"p95": 210.0}, 2, 2, ""),
        (
            Target.LATENCY,
            200,
            {"p95": 9000.0},
            2,
            4,
            "95 % of requests take up to 9e+03 ms, target 200 ms",
        ),
        (
            Target.LATENCY,
            200,
            {"p95": 60.0},
            2,
            1,
            "95 % of requests take up to 60 ms, target 200 ms",
        ),
        (Target.QUEUE, 5, {"waiting": 15.0}, 2, 3, "7.5 requests waiting per instance, target 5"),
        (Target.QUEUE, 5, {"waiting": 8.0}, 2, 2, ""),
    ],
)
def test_the_count_follows_the_samples(target, value, measured, count, expected, reason):
    found = decide(samples(300, **measured), wish(target, value), NOW, count)
    assert found == Decision(count=expected, reason=reason)


@pytest.mark.parametrize(("count", "expected"), [(1, 2), (9, 6)])
def test_a_count_outside_the_bounds_is_corrected(count, expected):
    assert decide([], wish(least=2, most=6), NOW, count) == Decision(
        count=expected, reason="the bounds are 2 and 6"
    )


def test_a_sudden_rise_of_six_seconds_adds_instances_immediately():
    calm, rush = samples(290, until=NOW - 8, in_flight=30.0), samples(6, in_flight=100.0)
    assert decide([*calm, *rush], wish(), NOW, 2).count == 5
    # a single sample is not a sudden rise
    assert decide([*calm, *rush[-1:]], wish(), NOW, 2).count == 2


def test_nothing_is_removed_for_a_minute_after_a_sudden_rise():
    calm, rush = samples(300, until=NOW - 8, in_flight=1.0), samples(6, in_flight=100.0)
    for later in range(2, 58, 2):
        after = samples(later - 2, until=NOW + later, ready=5, in_flight=1.0)
        assert decide([*calm, *rush, *after], wish(), NOW + later, 5).count == 5


def test_scaling_down_waits_until_five_minutes_agree():
    busy = samples(60, until=NOW - 200, in_flight=80.0, ready=4)
    calm = samples(198, ready=4, in_flight=5.0)
    assert decide([*busy, *calm], wish(), NOW, 4).count == 4
    assert decide(samples(300, ready=4, in_flight=5.0), wish(), NOW, 4).count == 1
    # there are no samples of the remaining time
    assert decide(samples(100, ready=4, in_flight=5.0), wish(), NOW, 4).count == 4


@pytest.mark.parametrize(
    "measured",
    [[], samples(300, until=NOW - 30, in_flight=900.0), samples(300, ready=0, in_flight=900.0)],
)
def test_nothing_changes_without_samples(measured):
    assert decide(measured, wish(), NOW, 2) == Decision(count=2)


numbers = st.floats(0, 1e6, allow_nan=False)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 320), st.integers(0, 12), numbers, numbers, numbers, st.none() | numbers
        ),
        max_size=60,
    ),
    st.sampled_from(Target),
    st.integers(1, 1000),
    st.integers(1, 10),
    st.integers(0, 10),
    st.integers(0, 40),
)
def test_no_sample_leads_outside_the_bounds_and_each_change_has_a_reason(
    rows, target, value, least, more, count
):
    measured = [
        Sample(at=NOW - ago, ready=ready, in_flight=flight, waiting=waiting, cpu=cpu, p95=p95)
        for ago, ready, flight, waiting, cpu, p95 in sorted(rows, key=lambda row: -row[0])
    ]
    found = decide(measured, wish(target, value, least, least + more), NOW, count)
    assert least <= found.count <= least + more
    assert bool(found.reason) == (found.count != count)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([Target.REQUESTS, Target.CPU]),
    st.floats(0, 250),
    st.integers(1, 10),
    st.floats(0, 0.03),
    st.integers(0, 2**32),
)
@example(target=Target.REQUESTS, load=20.0, count=1, noise=0.015625, seed=0)
def test_a_steady_load_leads_to_a_stable_count(target, load, count, noise, seed):
    """The target is 20 requests, or 20 % of 100 millicores, per instance. The samples have a little
    noise."""
    history, counts, chance = [], [], random.Random(seed)
    for tick in range(600):
        now = NOW + 2 * tick
        measured = load * chance.uniform(1 - noise, 1 + noise)
        history = [sample for sample in history if now - sample.at <= 310]
        history.append(
            Sample(at=now, ready=count, in_flight=measured, waiting=0.0, cpu=measured, p95=None)
        )
        count = decide(history, wish(target, cpu=100), now, count).count
        counts.append(count)
    changes = [after - before for before, after in itertools.pairwise(counts) if after != before]
    turns = sum(
        (change > 0) != (following > 0) for change, following in itertools.pairwise(changes)
    )
    assert turns <= 1
    assert len(set(counts[-100:])) == 1 or noise > 0
