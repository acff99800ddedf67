"""Test of a short `make soak`: events that must fail no request, in a minute and a half."""

import pytest

from tests.system.conftest import TEAM
from tests.system.support.sleepers import Sleepers
from tests.system.support.unrest import Unrest


@pytest.mark.slow
def test_rollouts_scalings_router_restarts_and_sleep_fail_no_request(box, admin):
    unrest = Unrest(config=box.config, api=admin, team=TEAM)
    sleepers = Sleepers(config=box.config, api=admin, team=TEAM, cycles=2, stopped=2)
    try:
        unrest.prepare()
        sleepers.prepare()
        with sleepers.cycling():
            result = unrest.under_load(rollouts=8, scalings=3, restarts=2)
        sleeps = [admin.get(f"/apps/{app}/sleep") for app in sleepers.apps]
    finally:
        unrest.clean()
        sleepers.clean()
    assert result.failed == 0, result.lines()
    assert sleepers.failed == 0, sleepers.lines()
    assert (len(sleepers.first_answers), result.rollouts.total()) == (2, 8)
    assert max(sleep["asleep_seconds"] for sleep in sleeps) >= 1, sleeps
    assert min(result.kept.requests, result.fresh.requests) > 100
