"""Test of the stretches of failed requests that `make chaos` reports."""

from tests.system.support.pace import Answer
from tests.system.support.stretches import stretches
from tests.system.support.victims import Killed


def test_near_failed_requests_are_one_stretch_with_the_kills_around_it():
    failed = [
        Answer(at, 0.1, host, 503)
        for at, host in ((100.0, "a"), (101.5, "a"), (100.2, "b"), (110.0, "a"))
    ]
    kills = [
        Killed(at=at, part=part, pid=1)
        for at, part in ((80.0, "redis"), (98.0, "router"), (101.0, "portal"))
    ]
    assert [stretch.describe(kills) for stretch in stretches(failed)] == [
        "2 requests of a answered 503 during 1.5 s; killed: router -2.0 s, portal +1.0 s",
        "1 requests of b answered 503 during 0.0 s; killed: router -2.2 s",
        "1 requests of a answered 503 during 0.0 s; killed: router -12.0 s, portal -9.0 s",
    ]
