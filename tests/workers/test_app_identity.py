"""The effect of a rename, a transfer and a write-only config var on the node."""

import httpx
from django.conf import settings

from portal.apps.models import App
from portal.lifecycle.account_actions import add_member
from portal.lifecycle.app_actions import set_config_vars
from portal.lifecycle.app_identity import rename_app, transfer_app
from portal.releases.models import RolloutState
from workers.tasks.converge import converge, instance_ended
from workers.tasks.rollout import roll_out


def deployed(plant, app, mode="ok", **processes):
    rollout = plant.release(app, mode, **processes)
    roll_out(rollout.pk)
    converge(app.pk)
    rollout.refresh_from_db()
    assert rollout.state == RolloutState.LIVE
    return rollout


def status_of(plant, host):
    return httpx.get(
        f"http://127.0.0.1:{plant.config.http_port}/",
        headers={"Host": f"{host}.{settings.BASE_DOMAIN}"},
        timeout=30,
    ).status_code


def test_a_renamed_app_answers_at_its_new_address_without_a_restart(plant):
    app = plant.app()
    deployed(plant, app)
    old, ids = app.name, [instance.id for instance in plant.engine.instances()]
    app = rename_app(plant.crew.owner, app=app, name=f"{old}-new")
    converge(app.pk)
    assert [instance.id for instance in plant.engine.instances()] == ids
    assert status_of(plant, app.name) == 200
    assert status_of(plant, old) == 404
    second = deployed(plant, app)
    assert plant.get(app).text.startswith(f"v{second.release.build_id} ")
    instance_ended(old)  # the supervisor knows the first name
    assert (plant.config.app_logs / f"{old}.log").exists()


def test_a_transferred_app_runs_as_its_new_team(plant):
    app = plant.app()
    deployed(plant, app)
    red = plant.crew.red
    add_member(plant.crew.stranger, team=red, username=plant.crew.owner.username)
    before = plant.engine.instances()[0]
    assert before.spec.team == app.team_id
    app = transfer_app(plant.crew.owner, app=app, team=red, typed_name=app.name)
    for _ in range(20):
        converge(app.pk)
        teams = {instance.spec.team for instance in plant.engine.instances()}
        if teams == {red.pk}:
            break
    assert teams == {red.pk}
    assert plant.get(App.objects.get(pk=app.pk)).status_code == 200


def test_the_value_of_a_secret_is_masked_in_the_log_and_in_the_reason_of_a_failure(plant):
    app = plant.app()
    changes = {"TOKEN": "a-long-secret-1", "COLOR": "deep-blue-sea"}
    set_config_vars(plant.crew.owner, app=app, changes=changes, secret=["TOKEN"])
    line = "echo uses $TOKEN and $COLOR"
    deployed(plant, app, web=f"{line}; exec python3 /srv/app.py v1 ok")
    container = plant.engine.instances()[0]
    plant.engine.ship(container)
    log = (plant.config.app_logs / f"{app.name}.log").read_text()
    assert "uses **** and deep-blue-sea" in log
    assert "a-long-secret-1" not in log
    failed = plant.release(app, web=f"{line}; exit 3")
    roll_out(failed.pk)
    failed.refresh_from_db()
    assert "uses **** and deep-blue-sea" in failed.reason
