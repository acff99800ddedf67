"""Test of a short `make chaos`.

Each part of the platform is killed at least once, under load and deploys.
"""

import random

import pytest

from tests.system.conftest import TEAM
from tests.system.support.chaos import Chaos
from tests.system.support.chaos_outcome import Amounts
from tests.system.support.victims import PARTS


@pytest.mark.slow
@pytest.mark.timeout(900)  # the check of the whole store alone may take minutes next to other tests
def test_random_kills_lose_no_deploy_or_request_and_leave_nothing(box, admin):
    chaos = Chaos(
        config=box.config, api=admin, team=TEAM, environment=box.environment, chance=random.Random()
    )
    try:
        chaos.prepare()
        outcome = chaos.run(Amounts(kills=15, seconds=30, deploy_every=3))
    finally:
        chaos.clean()
    report = "\n".join(f"{what}: {found}" for what, found in outcome.lines())
    assert outcome.faults == [], report
    assert {killed.part for killed in outcome.kills} == set(PARTS), report
    assert min(len(builds) for builds in outcome.deploys.accepted.values()) >= 1, report
