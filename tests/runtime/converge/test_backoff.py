from runtime.converge.planning.backoff import delay


def test_three_restarts_are_immediate_then_waits_double_up_to_16_minutes():
    assert [delay(crashes) for crashes in range(12)] == [
        0,
        0,
        0,
        0,
        30,
        60,
        120,
        240,
        480,
        960,
        960,
        960,
    ]


def test_a_lost_instance_waits_seconds_and_not_minutes():
    assert [delay(crashes, lost=True) for crashes in range(10)] == [0, 0, 0, 0, 1, 2, 4, 8, 15, 15]


def test_a_crash_loop_of_years_does_not_overflow():
    assert delay(10_000_000) == 960
