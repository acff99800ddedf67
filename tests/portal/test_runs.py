"""Stopping runs and retrying failed ones, by the API and by buttons."""

from __future__ import annotations

import re
from typing import Any

import pytest
import redis
from django.test import Client

from portal.activity.access import audit_of_team
from portal.deploys.going_live import finish_live
from portal.errors import Conflict, ValueRefused
from portal.jobs import actions as jobs
from portal.jobs.access import cron_for
from portal.jobs.models import Run, RunState
from portal.releases.actions import finish_failed
from portal.releases.models import Rollout, RolloutState
from tests.portal.apps.test_manifest import cron, deployed, made, said
from tests.portal.conftest import People

SCRIPT = {"command": "./seed", "timeout": 5.0}


def post(people: People, path: str, person: Any = None) -> Any:
    token = people.token(person or people.owner)
    return Client().post(f"/api/v1/apps/hello/{path}", headers={"Authorization": f"Bearer {token}"})


def test_a_run_is_stopped_once_and_only_by_members(
    people: People, broker: redis.Redis, django_capture_on_commit_callbacks: Any
) -> None:
    app = people.app()
    deployed(people, app, said(crons=[cron("sweep")]))
    run = jobs.run_now(people.owner, app=app, job=cron_for(app, "sweep"))
    jobs.assign_to_worker(run, most=4)
    assert post(people, f"runs/{run.pk}/stop", people.stranger).status_code == 404
    broker.delete("node")
    with django_capture_on_commit_callbacks(execute=True):
        answer = post(people, f"runs/{run.pk}/stop")
    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["reason"]) == ("stopped", "owner stopped it.")
    assert answer.json()["finished_at"] is not None
    assert broker.llen("node") == 1, "a worker must stop its container"
    assert post(people, f"runs/{run.pk}/stop").status_code == 409
    assert post(people, "runs/4711/stop").status_code == 404
    assert not jobs.finish(run, RunState.SUCCEEDED), (
        "what its container came to afterwards says nothing"
    )


def test_only_a_failed_post_deploy_script_can_be_retried(people: People) -> None:
    app = people.app()
    rollout = deployed(people, app, said(postdeploy=SCRIPT))
    first = Run.objects.get()
    assert post(people, f"runs/{first.pk}/again").status_code == 409
    jobs.assign_to_worker(first, most=4)
    jobs.finish(first, RunState.FAILED, "It exited with code 1.")
    answer = post(people, f"runs/{first.pk}/again")
    assert (answer.status_code, answer.json()["state"], answer.json()["command"]) == (
        202,
        "queued",
        "./seed",
    )
    assert post(people, f"runs/{first.pk}/again").status_code == 409, "it runs again already"
    second = Run.objects.get(pk=answer.json()["id"])
    jobs.assign_to_worker(second, most=4)
    jobs.finish(second, RunState.SUCCEEDED)
    assert post(people, f"runs/{second.pk}/again").status_code == 409
    rollout.refresh_from_db()
    assert [step["text"] for step in rollout.steps][-2:] == [
        "The post-deploy script failed. It exited with code 1.",
        "The post-deploy script succeeded",
    ]


def test_only_the_newest_failed_release_can_be_rolled_out_again(people: People) -> None:
    app = people.app()
    deployed(people, app)
    failed = made(people, app)
    assert post(people, "releases/2/again").status_code == 409, "it is still open"
    finish_failed(failed, "The release phase exited with code 1.")
    assert post(people, "releases/2/again", people.stranger).status_code == 404
    assert post(people, "releases/2/again").status_code == 202
    second = Rollout.objects.get(release=failed.release, state=RolloutState.PENDING)
    finish_failed(second, "The release phase exited with code 1.")
    deployed(people, app)
    assert post(people, "releases/2/again").status_code == 409, "a newer one came"


@pytest.mark.parametrize("kind", ["stop", "again", "release"])
def test_the_pages_have_a_working_button_for_each(people: People, kind: str) -> None:
    app = people.app()
    deployed(people, app, said(postdeploy=SCRIPT))
    run = Run.objects.get()
    if kind == "again":
        jobs.finish(run, RunState.FAILED, "It exited with code 1.")
    if kind == "release":
        finish_failed(made(people, app), "The release phase exited with code 1.")
    client = Client()
    client.force_login(people.owner)
    page = client.get(
        "/apps/hello/deploys" if kind == "release" else "/apps/hello"
    ).content.decode()
    address = {
        "stop": f"/apps/hello/runs/{run.pk}/stop",
        "again": f"/apps/hello/runs/{run.pk}/again",
        "release": "/apps/hello/releases/2/again",
    }
    assert re.findall(r'action="([^"]+/(?:stop|again))"', page) == [address[kind]]
    assert client.post(address[kind], follow=True).status_code == 200
    run.refresh_from_db()
    if kind == "stop":
        assert run.state == RunState.STOPPED
    elif kind == "again":
        assert Run.objects.filter(state=RunState.QUEUED).count() == 1
    else:
        retried = Rollout.objects.get(release__number=2, state=RolloutState.PENDING)
        assert finish_live(retried)
        app.refresh_from_db()
        assert app.current_release == retried.release


@pytest.mark.parametrize(
    ("command", "timeout"),
    [("", 60), ("  \n", 60), ("x" * 8193, 60), ("a\0b", 60), ("true", 0), ("true", 86401)],
)
def test_a_command_outside_the_limits_is_refused(
    people: People, command: str, timeout: float
) -> None:
    app = people.app()
    deployed(people, app, said())
    with pytest.raises(ValueRefused):
        jobs.run_command(people.owner, app=app, command=command, timeout=timeout)
    assert Run.objects.count() == 0


def test_a_command_needs_a_live_release_and_is_not_in_the_activity(people: People) -> None:
    app = people.app()
    with pytest.raises(Conflict, match="no live release"):
        jobs.run_command(people.owner, app=app, command="true", timeout=60)
    deployed(people, app, said())
    run = jobs.run_command(people.owner, app=app, command="login --password geheim", timeout=60)
    said_of_it = [str(vars(entry)) for entry in audit_of_team(app.team)]
    assert any(f"ran a command as run.{run.pk}" in text for text in said_of_it), said_of_it
    assert not any("geheim" in text for text in said_of_it)
    client = Client()
    client.force_login(people.owner)
    page = client.get("/apps/hello").content.decode()
    assert "login --password geheim" in page
    answer = client.post("/apps/hello/runs", {"command": "<b>x</b>"}, follow=True)
    assert "&lt;b&gt;x&lt;/b&gt;" in answer.content.decode()
    assert "<b>x</b>" not in answer.content.decode()
