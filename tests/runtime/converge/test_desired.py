"""Tests of names that come from the portal's rows: all are safe as folders, cgroups and router
sections.
"""

import pytest

from runtime.containers.spec import Limits, TeamLimits
from runtime.contract.quantities import Bytes, Millicores
from runtime.converge.desired import DesiredApp, DesiredProcess

TEAM = TeamLimits(cpu=Millicores(1000), memory=Bytes(2**30), processes=100)
LIMITS = Limits(cpu=Millicores(1000), memory=Bytes(2**30), processes=100, disk=Bytes(2**30))
UNSAFE = ["", ".", "..", "../../etc", "a/b", "a b", "a\nbackend x", "-rf", "a" * 64, "é"]


@pytest.mark.parametrize("name", UNSAFE)
def test_an_invalid_label_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        DesiredApp(app=name, team=1, hosts=("shop.example",), team_limits=TEAM)
    with pytest.raises(ValueError, match="cannot be the name"):
        DesiredApp(app="shop", team=1, hosts=(f"{name}.example",), team_limits=TEAM)
    with pytest.raises(ValueError, match="cannot be the name"):
        DesiredProcess(name=name, command="true", count=1, limits=LIMITS)


def test_usual_names_are_accepted() -> None:
    assert (
        DesiredApp(app="my-shop2", team=1, hosts=("my-shop2.example.org",), team_limits=TEAM).app
        == "my-shop2"
    )
    assert (
        DesiredProcess(name="Mail_worker", command="true", count=1, limits=LIMITS).name
        == "Mail_worker"
    )
