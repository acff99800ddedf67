"""Tests of health checks that were set in the portal, on real instances."""

from __future__ import annotations

from datetime import datetime

from django.test import Client

from portal.releases.models import RolloutState
from runtime.contract.health import CheckKind, HealthCheck
from workers.bridge import translate
from workers.tasks.rollout import roll_out

QUICK = {"timeout": "2", "interval": "1", "attempts": "1", "start_period": "2"}


def set_on_page(plant, app, **typed: str) -> None:
    client = Client()
    client.force_login(plant.crew.owner)
    answer = client.post(f"/apps/{app.name}/settings/health", {**QUICK, **typed})
    assert answer.status_code == 302, answer.content.decode()


def rolled_out(plant, app, mode: str = "ok", command: str = ""):
    """Return the finished rollout of a release of an app that has no manifest."""
    rollout = plant.release(app, mode, **({"web": command} if command else {}))
    roll_out(rollout.pk)
    rollout.refresh_from_db()
    return rollout


def test_a_command_set_on_the_page_decides_when_an_instance_gets_traffic(plant):
    app = plant.app()
    set_on_page(plant, app, kind="command", command="echo looked; test -e /tmp/ready")
    never = rolled_out(plant, app)
    assert never.state == RolloutState.FAILED
    assert (
        "Its health check `echo looked; test -e /tmp/ready` ended with code 1, with the output:"
        " looked" in never.reason
    )
    ready = rolled_out(plant, app, command="touch /tmp/ready; python3 /srv/app.py ready ok")
    assert ready.state == RolloutState.LIVE, ready.reason
    assert plant.get(app).text.startswith("ready")
    app.refresh_from_db()
    desired = translate.desired_app(app).current
    assert desired is not None
    assert desired.health == HealthCheck(
        kind=CheckKind.COMMAND,
        command=("/bin/sh", "-c", "echo looked; test -e /tmp/ready"),
        timeout=2.0,
        start_period=2.0,
        interval=1.0,
        attempts=1,
    )


def test_a_wrong_port_is_a_step_of_the_rollout_long_before_it_fails(plant):
    app = plant.app()
    set_on_page(plant, app, kind="http", path="/", start_period="12")
    command = "exec env PORT=4999 python3 /srv/app.py ready ok"
    rollout = rolled_out(plant, app, command=command)
    assert rollout.state == RolloutState.FAILED
    (found,) = [step for step in rollout.steps if "is not ready yet" in step["text"]]
    assert "It listens on 0.0.0.0:4999; it must listen on 0.0.0.0 and the port" in found["text"]
    after = datetime.fromisoformat(found["at"]) - rollout.created_at
    assert after.total_seconds() < 8


def test_a_tcp_check_set_on_the_page_passes_an_app_that_answers_only_500(plant):
    app = plant.app()
    set_on_page(plant, app, kind="http", path="/")
    refused = rolled_out(plant, app, "broken")
    assert refused.state == RolloutState.FAILED
    assert "status 500" in refused.reason
    set_on_page(plant, app, kind="tcp")
    accepted = rolled_out(plant, app, "broken")
    assert accepted.state == RolloutState.LIVE, accepted.reason
    assert plant.get(app).status_code == 500
