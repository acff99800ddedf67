"""An app's traffic settings: allowed values, access, and what the router gets."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from django.test import Client

from portal.activity.access import audit_of_app
from portal.errors import NotAllowed, ValueRefused
from portal.quotas.access import quota_of
from portal.quotas.actions import set_quota
from portal.traffic import actions
from portal.traffic.access import traffic_of
from portal.traffic.models import TrafficSettings
from portal.traffic.validation import checked
from runtime.converge.desired import Sleep
from runtime.converge.strategy import CanaryStep, StrategyKind
from runtime.router.policy import credential_digest
from runtime.router.routes import PathRoute
from tests.portal.apps.test_apps import live_app
from tests.portal.conftest import People
from tests.portal.test_api import Caller
from workers.bridge import traffic_settings


def test_the_defaults_are_rolling_and_no_limits(people: People) -> None:
    row = traffic_of(people.app())
    assert row.pk is None
    assert traffic_settings.strategy_of(row).kind is StrategyKind.ROLLING
    policy = traffic_settings.policy_of(row)
    assert (policy.hold_seconds, policy.allowed, policy.auth, policy.limits.rate) == (
        30,
        (),
        None,
        0,
    )
    assert traffic_settings.paths_of(row) == ()


def test_a_setting_reaches_the_runtime_and_the_audit_log(people: People) -> None:
    app = live_app(people, {"web": "run", "api": "run"})
    actions.change(
        people.owner,
        app=app,
        changes={
            "way": "canary",
            "canary_steps": [[5, 30], [50, 120]],
            "preview_token": "sesame",
            "client_rate": 20,
            "body_limit": 10 * 2**20,
            "allowed": ["203.0.113.7", "2001:db8::1/32"],
            "paths": [["/api", "api"]],
            "sticky": True,
        },
    )
    row = traffic_of(app)
    strategy, policy = traffic_settings.strategy_of(row), traffic_settings.policy_of(row)
    assert strategy.kind is StrategyKind.CANARY
    assert strategy.steps == (
        CanaryStep(percent=5, seconds=30.0),
        CanaryStep(percent=50, seconds=120.0),
    )
    assert policy.allowed == (ip_network("203.0.113.7/32"), ip_network("2001:db8::/32"))
    assert (policy.limits.client_rate, policy.limits.body, policy.sticky) == (20, 10 * 2**20, True)
    assert traffic_settings.paths_of(row) == (PathRoute(prefix="/api", process="api"),)
    assert any("canary steps" in entry.text for entry in audit_of_app(app))


def test_a_password_is_stored_as_the_digest_that_the_router_compares(people: People) -> None:
    app = people.app()
    actions.admit(people.owner, app=app, name="press", password="long enough for it")
    row = traffic_of(app)
    auth = traffic_settings.policy_of(row).auth
    assert auth is not None
    assert auth.credentials[0].digest == credential_digest(auth.salt, "press", "long enough for it")
    assert "long enough" not in str(row.auth)
    actions.turn_away(people.owner, app=app, name="press")
    assert traffic_settings.policy_of(traffic_of(app)).auth is None


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("way", "sideways", "not a valid rollout strategy"),
        ("surge", 0, "cannot be 0"),
        ("drain_seconds", 3601, "from 0 to 3,600"),
        ("rate", True, "cannot be True"),
        ("sticky", "yes", "must be true or false"),
        ("canary_steps", [[10, 60], [5, 60]], "not a valid canary step"),
        ("canary_steps", [[0, 60]], "not a valid canary step"),
        ("canary_steps", "1 %", "at most 10 steps"),
        ("preview_token", "a b", "preview token"),
        ("allowed", ["somewhere"], "not a valid address or network"),
        ("paths", [["/api", "nobody"]], "does not exist"),
        ("paths", [["/api", "web"], ["/api", "web"]], "has two routes"),
        ("paths", [["api", "web"]], "not a valid path route"),
        ("paths", [["/a b", "web"]], "not a valid path route"),
        ("canonical_host", "elsewhere.example", "is not a host of this app"),
        ("error_page", "x" * 12_000, "needs 12,040 bytes in the router"),
        ("paths", [["/api/*", "web"]], "/api/*"),
        ("nonsense", 1, "nonsense is not a valid traffic setting"),
    ],
)
def test_an_invalid_value_is_refused_at_its_field(field: str, value: object, says: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        checked({field: value}, processes=["web"], hosts=["shop.example"])
    assert refused.value.field == field
    assert says in refused.value.explain()


def test_a_short_password_and_a_malformed_name_are_refused(people: People) -> None:
    app = people.app()
    with pytest.raises(ValueRefused, match="too short"):
        actions.admit(people.owner, app=app, name="press", password="short")
    with pytest.raises(ValueRefused, match="is not a valid user name"):
        actions.admit(people.owner, app=app, name="a:b", password="long enough for it")


def test_other_teams_can_neither_see_nor_change_it(people: People) -> None:
    people.app()
    caller = Caller(people.token(people.stranger))
    assert caller("get", "/apps/hello/traffic")[0] == 404
    assert caller("patch", "/apps/hello/traffic", {"maintenance": True})[0] == 404
    assert not TrafficSettings.objects.exists()
    with pytest.raises(NotAllowed):
        actions.change(people.stranger, app=people.app("other"), changes={"maintenance": True})


def test_the_api_changes_only_what_is_sent_and_returns_all(people: People) -> None:
    people.app()
    caller = Caller(people.token(people.owner))
    status, body = caller("patch", "/apps/hello/traffic", {"way": "recreate", "hold_seconds": 60})
    assert status == 200
    assert (body["way"], body["hold_seconds"], body["drain_seconds"], body["auth_names"]) == (
        "recreate",
        60,
        30,
        [],
    )
    status, body = caller("patch", "/apps/hello/traffic", {"hold_seconds": 301})
    assert (status, body["hint"]) == (400, "Use a number from 0 to 300.")
    assert (
        caller("put", "/apps/hello/traffic/auth/press", {"password": "long enough for it"})[0]
        == 204
    )
    assert caller("get", "/apps/hello/traffic")[1]["auth_names"] == ["press"]
    assert caller("delete", "/apps/hello/traffic/auth/press")[0] == 204


def test_each_card_of_the_page_saves_its_fields_and_marks_wrong_ones(people: People) -> None:
    app = people.app()
    client = Client()
    client.force_login(people.owner)
    rollout = {
        "way": "canary",
        "canary_steps": "1 % for 60s, 25% 5m",
        "preview_token": "",
        "drain_seconds": "20",
        "hold_seconds": "15",
    }
    assert client.post("/apps/hello/traffic/rollout", rollout, follow=True).status_code == 200
    assert traffic_of(app).canary_steps == [[1, 60], [25, 300]]
    assert "1 % for 60s, 25 % for 5m" in client.get("/apps/hello/settings/rollout").content.decode()
    client.post("/apps/hello/traffic/limits", {"body_limit": "10M", "client_rate": "5"})
    assert (traffic_of(app).body_limit, traffic_of(app).client_rate, traffic_of(app).rate) == (
        10 * 2**20,
        5,
        0,
    )
    client.post("/apps/hello/traffic/visitors", {"allowed": "203.0.113.0/24\n198.51.100.7"})
    assert traffic_of(app).allowed == ["203.0.113.0/24", "198.51.100.7/32"]
    client.post(
        "/apps/hello/traffic/pages",
        {"maintenance": "on", "maintenance_page": "<h1>Back soon</h1>", "error_page": ""},
    )
    assert traffic_of(app).maintenance
    client.post(
        "/apps/hello/traffic/pages", {"maintenance_page": "<h1>Back soon</h1>", "error_page": ""}
    )
    assert not traffic_of(app).maintenance
    refused = client.post("/apps/hello/traffic/rollout", {**rollout, "canary_steps": "half of it"})
    assert refused.status_code == 422
    assert "half of it is not a valid step" in refused.content.decode()
    refused = client.post("/apps/hello/traffic/visitors", {"allowed": "my office"})
    assert "not a valid address or network" in refused.content.decode()
    assert client.post("/apps/hello/traffic/nonsense", {}).status_code == 404
    client.post(
        "/apps/hello/traffic/auth", {"auth_name": "press", "auth_password": "long enough for it"}
    )
    assert "press" in traffic_of(app).auth
    client.post("/apps/hello/traffic/auth", {"remove": "press"})
    assert traffic_of(app).auth == {}


def test_an_app_sleeps_by_its_own_setting_or_the_teams_quota(people: People) -> None:
    app = people.app()
    quota = quota_of(app.team)
    assert traffic_settings.sleep_of(traffic_of(app), quota) is None
    set_quota(people.admin, team=app.team, limits={"sleep_minutes": 30})
    assert traffic_settings.sleep_of(traffic_of(app), quota_of(app.team)) == Sleep(
        after=1800.0, stop_after=3600.0
    )
    actions.change(people.owner, app=app, changes={"sleep_minutes": 0})
    assert traffic_settings.sleep_of(traffic_of(app), quota_of(app.team)) is None
    caller = Caller(people.token(people.owner))
    assert caller("patch", "/apps/hello/traffic", {"sleep_minutes": 5, "stop_minutes": 0})[0] == 200
    assert traffic_settings.sleep_of(traffic_of(app), quota_of(app.team)) == Sleep(
        after=300.0, stop_after=0.0
    )
    assert (
        caller("patch", "/apps/hello/traffic", {"sleep_minutes": None})[1]["sleep_minutes"] is None
    )
