"""Tests of network policies and traffic counters.

A policy goes from the portal's row to the node, and the node's counters come back.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field

import pytest
import redis

from portal.errors import ValueRefused
from portal.metrics.egress import EgressTotals as Shown
from portal.metrics.egress import egress_of
from portal.quotas.actions import set_network_policy
from portal.quotas.destinations import parse
from portal.quotas.models import NetworkPolicy as Row
from runtime.network.floods import FloodLimits
from runtime.network.leases import Owner
from runtime.network.policy import Destination, EgressPolicy, NetworkPolicy
from runtime.network.traffic import Amount, Counted, Dropped, month_of
from tests.portal.conftest import Crew, make_crew
from workers.bridge import translate
from workers.supervisor.traffic_meter import REPORT_EVERY, TrafficMeter


@pytest.fixture
def crew(db: None, broker: redis.Redis) -> Crew:
    return make_crew()


def test_a_row_becomes_the_nodes_policy(crew: Crew) -> None:
    assert translate.network_policy(crew.blue.pk) == NetworkPolicy()
    set_network_policy(
        crew.admin,
        team=crew.blue,
        egress="allow-list",
        destinations="example.com:443",
        builds_open=True,
        bandwidth=10**6,
    )
    expected = NetworkPolicy(
        egress=EgressPolicy.ALLOW_LIST,
        destinations=(Destination.parse("example.com:443"),),
        builds_open=True,
        bandwidth=10**6,
    )
    assert translate.network_policy(crew.blue.pk) == expected
    assert translate.team_limits(crew.blue.quota).network == expected


def test_a_line_that_the_node_refuses_is_left_out_and_logged(
    crew: Crew, caplog: pytest.LogCaptureFixture
) -> None:
    Row.objects.create(
        team=crew.blue, egress="allow-list", destinations="a }; flush ruleset\nexample.com"
    )
    assert translate.network_policy(crew.blue.pk).destinations == (
        Destination.parse("example.com"),
    )
    assert "is invalid and is left out" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        "example.com", "example.com.", "EXAMPLE.com:443", "192.0.2.0/24", "192.0.2.1:1-65535", "db",
        "_x.y", "a" * 63, "1.2.3", "10.0.0.1/8",
        "a b", "*.x.y", "x:0", "x:65536", "x:9-8", "::1", "a..b", "-a", "a" * 64, "x:1:2",
        "10.0.0.0/33", "http://x", "é.com", "x:١",
    ],
)  # fmt: skip
def test_portal_and_node_accept_the_same_lines(line: str) -> None:
    try:
        Destination.parse(line)
    except ValueError:
        with pytest.raises(ValueRefused):
            parse(line)
    else:
        assert [str(Destination.parse(found)) for found in parse(line)] == [
            str(Destination.parse(line))
        ]


@dataclass(kw_only=True)
class Kernel:
    """Fake counters of the node."""

    dropped: dict[str, Dropped] = field(default_factory=dict)
    teams: dict[int, Amount] = field(default_factory=dict)
    now: float = 1_800_000_000.0
    lines: list[tuple[str, str]] = field(default_factory=list)

    def count(self) -> Counted:
        owners = {name: Owner(team=1, app=name.partition("-")[0]) for name in self.dropped}
        return Counted(
            apps={"a": Amount(sent=5)}, teams=self.teams, dropped=dict(self.dropped), owners=owners
        )

    def metering(self, client: redis.Redis) -> TrafficMeter:
        return TrafficMeter(
            client,
            count=self.count,
            say=lambda app, text, _: self.lines.append((app, text)),
            limits=FloodLimits(),
            clock=lambda: self.now,
        )


def test_an_apps_log_reports_dropped_queries_once_an_hour(broker: redis.Redis) -> None:
    kernel = Kernel(dropped={"a-1": Dropped(), "a-2": Dropped(), "b-1": Dropped()})
    metering = kernel.metering(broker)
    metering.round()
    assert kernel.lines == []
    kernel.dropped["a-1"] = Dropped(queries=3)
    kernel.dropped["a-2"] = Dropped(queries=4)
    metering.round()
    expected = (
        "R15 network-limit-reached: 7 DNS queries were dropped. An instance may send 100 per"
        " second, and 500 at once."
    )
    assert kernel.lines == [("a", expected)]
    kernel.dropped["a-1"] = Dropped(queries=10)
    kernel.now += REPORT_EVERY / 2
    metering.round()
    assert len(kernel.lines) == 1
    kernel.dropped["b-1"] = Dropped(flows=1, datagrams=1)
    metering.round()
    assert [app for app, _ in kernel.lines] == ["a", "b", "b"]
    kernel.now += REPORT_EVERY / 2
    metering.round()
    assert "7 DNS queries were dropped" in kernel.lines[3][1], "the drops since the previous line"
    kernel.now += 2 * REPORT_EVERY
    metering.round()
    assert len(kernel.lines) == 4, "without a new drop there is no new line"


def test_a_teams_month_is_shown_and_survives_an_empty_redis(
    crew: Crew, broker: redis.Redis
) -> None:
    kernel = Kernel(teams={crew.blue.pk: Amount(sent=10, received=20)})
    kernel.now = time.time()
    metering = kernel.metering(broker)
    metering.round()
    assert egress_of(crew.blue) == Shown(sent=10, received=20)
    broker.delete(f"slipway:egress:{month_of(kernel.now)}")
    metering.round()
    assert egress_of(crew.blue) == Shown(sent=10, received=20)
    assert json.loads(broker.hget(f"slipway:egress:{month_of(kernel.now)}", str(crew.blue.pk))) == [
        10,
        20,
    ]
    assert metering.by_app() == {"a": Amount(sent=5)}


def test_without_redis_one_warning_is_logged_and_drops_are_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kernel = Kernel(dropped={"a-1": Dropped()})
    metering = kernel.metering(redis.Redis(unix_socket_path="/nowhere/redis.sock"))
    with caplog.at_level(logging.WARNING):
        metering.round()
        kernel.dropped["a-1"] = Dropped(queries=1)
        metering.round()
    assert caplog.text.count("while Redis does not answer") == 1
    assert len(kernel.lines) == 1
