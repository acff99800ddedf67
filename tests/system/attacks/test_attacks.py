"""Tests of a few attacks of each kind. `make attack` runs all attacks."""

from collections.abc import Iterator

import pytest

from tests.system.attacks.attack import execute, table
from tests.system.attacks.range import ATTACKERS, VICTIMS, Range
from tests.system.attacks.suite import ATTACKS
from tests.system.support.pace import percentile

SOME = {attack.name: attack for attack in ATTACKS if attack.in_suite}


@pytest.fixture(scope="module")
def place(box, admin) -> Iterator[Range]:
    for team in (ATTACKERS, VICTIMS):
        admin.create_team(team)
        admin.set_quota(team)
    place = Range(config=box.config, api=admin)
    try:
        place.prepare()
        yield place
    finally:
        place.clean()


@pytest.mark.slow
@pytest.mark.parametrize("name", SOME)
def test_an_attack_fails_and_does_no_harm(name, place):
    result = execute(SOME[name], place, percentile(place.alone(2), 99))
    print(table([result]))
    assert result.wrong == (), table([result])
