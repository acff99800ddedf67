"""Autoscaling for the owner of an app: settings, decisions with reasons, and the quota."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from portal.activity.access import audit_of_app
from portal.apps.models import App, ProcessFormation
from portal.apps.sizes import Size
from portal.errors import Conflict, ValueRefused
from portal.lifecycle.app_actions import scale
from portal.quotas.access import quota_of
from portal.traffic import actions
from portal.traffic.access import scalings_of
from portal.traffic.models import Scaling
from portal.traffic.scaling import KEPT, autoscale
from tests.portal.apps.test_apps import live_app
from tests.portal.conftest import People
from tests.portal.test_api import Caller

REASON = "37 requests in flight per instance, target 20"


@pytest.fixture
def app(people: People) -> App:
    app = live_app(people, {"web": "run", "worker": "run"})
    scale(people.owner, app=app, sizes={"worker": Size(count=1)})
    actions.change(
        people.owner,
        app=app,
        changes={"autoscale": True, "autoscale_least": 1, "autoscale_most": 8},
    )
    return app


def web(app: App) -> ProcessFormation:
    return ProcessFormation.objects.get(app=app, process="web")


def test_a_decision_sets_the_count_and_its_reason_is_in_the_audit_log(app: App) -> None:
    autoscale(app, count=2, reason=REASON)
    assert (web(app).count, web(app).by_person) == (2, True)
    (scaling,) = scalings_of(app)
    assert (scaling.before, scaling.wanted, scaling.after, scaling.reason, scaling.refused) == (
        1,
        2,
        2,
        REASON,
        "",
    )
    entry = audit_of_app(app)[0]
    assert (entry.person, entry.text) == (None, f"autoscaled web from 1 to 2: {REASON}")
    autoscale(app, count=2, reason=REASON)
    assert len(scalings_of(app)) == 1


def test_nothing_is_scaled_after_it_is_turned_off(people: People, app: App) -> None:
    actions.change(people.owner, app=app, changes={"autoscale": False})
    autoscale(app, count=3, reason=REASON)
    assert (web(app).count, scalings_of(app)) == (1, [])


def test_a_count_set_by_a_person_is_refused_but_a_size_is_not(people: People, app: App) -> None:
    size = Size.of(web(app))
    with pytest.raises(Conflict, match="is autoscaled: web has between 1 and 8 instances"):
        scale(people.owner, app=app, sizes={"web": replace(size, count=2)})
    scale(people.owner, app=app, sizes={"web": replace(size, memory=size.memory // 2)})
    scale(people.owner, app=app, sizes={"worker": replace(size, count=0)})
    assert web(app).memory == size.memory // 2


def test_a_refusal_by_the_quota_is_recorded_once_and_as_many_as_fit_run(app: App) -> None:
    quota = quota_of(app.team)
    type(quota).objects.filter(pk=quota.pk).update(instances=4)
    autoscale(app, count=8, reason=REASON)
    assert web(app).count == 3  # the other instance is the worker
    for _ in range(3):
        autoscale(app, count=8, reason=REASON)
    (moved,) = scalings_of(app)
    assert (moved.before, moved.wanted, moved.after) == (1, 8, 3)
    assert "is 4 instances in total" in moved.refused
    assert (
        f"from 1 to 3: {REASON}. It needs 8: The quota of team blue is 4 instances"
        in audit_of_app(app)[0].text
    )
    Scaling.objects.filter(pk=moved.pk).update(at=timezone.now() - timedelta(hours=2))
    for _ in range(3):
        autoscale(app, count=8, reason=REASON)
    stuck, _ = scalings_of(app)
    assert (stuck.before, stuck.wanted, stuck.after) == (3, 8, 3)
    assert audit_of_app(app)[0].text.startswith(
        f"could not autoscale web from 3 to 8 ({REASON}): The quota of team blue is 4 instances"
    )
    autoscale(app, count=1, reason=REASON)
    assert web(app).count == 1


def test_old_decisions_are_deleted(app: App) -> None:
    Scaling.objects.bulk_create(
        Scaling(app=app, before=1, wanted=2, after=2, reason=REASON) for _ in range(KEPT + 20)
    )
    autoscale(app, count=2, reason=REASON)
    assert len(scalings_of(app, most=1000)) == KEPT


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"autoscale_least": 5, "autoscale_most": 4}, "autoscale_most"),
        ({"autoscale_least": 0}, "autoscale_least"),
        ({"autoscale_target": "moon"}, "autoscale_target"),
        ({"autoscale_target": "cpu", "autoscale_value": 96}, "autoscale_value"),
        ({"autoscale": 1}, "autoscale"),
    ],
)
def test_invalid_settings_are_refused_at_their_field(
    people: People, app: App, changes: dict[str, object], field: str
) -> None:
    with pytest.raises(ValueRefused) as refused:
        actions.change(people.owner, app=app, changes=changes)
    assert refused.value.field == field


def test_the_page_saves_the_card_and_shows_the_last_decisions(
    people: People, app: App, client: Client
) -> None:
    client.force_login(people.owner)
    sent = {
        "autoscale": "on",
        "autoscale_least": 2,
        "autoscale_most": 6,
        "autoscale_target": "latency",
        "autoscale_value": 250,
    }
    assert client.post(f"/apps/{app.name}/traffic/autoscale", sent).status_code == 302
    autoscale(app, count=2, reason="95 % of requests take up to 400 ms, target 250 ms")
    page = client.get(f"/apps/{app.name}/traffic").content.decode()
    assert "1 → 2" in page
    assert "95 % of requests take up to 400 ms, target 250 ms" in page
    overview = client.get(f"/apps/{app.name}").content.decode()
    assert "Autoscaling went from 1 to 2" in overview
    refused = client.post(f"/apps/{app.name}/traffic/autoscale", {**sent, "autoscale_most": 1})
    assert refused.status_code == 422
    assert "The minimum of 2 instances is larger than the maximum of 1." in refused.content.decode()


def test_the_api_sets_it_and_lists_the_decisions(people: People, app: App) -> None:
    caller = Caller(people.token(people.owner))
    status, body = caller(
        "patch", f"/apps/{app.name}/traffic", {"autoscale_target": "cpu", "autoscale_value": 70}
    )
    assert (status, body["autoscale"], body["autoscale_target"]) == (200, True, "cpu")
    autoscale(app, count=3, reason="95 % of its CPU in use per instance, target 70 %")
    status, rows = caller("get", f"/apps/{app.name}/scalings")
    assert [(row["before"], row["after"], row["reason"]) for row in rows] == [
        (1, 3, "95 % of its CPU in use per instance, target 70 %")
    ]
    assert caller("patch", f"/apps/{app.name}/formation", {"web": {"count": 1}})[0] == 409
