"""Create, configure, scale, restart and delete apps."""

import json

import pytest
import redis

from portal.activity.access import audit_of_app
from portal.apps.access import (
    app_for,
    apps_of,
    config_of,
    formation_of,
    instances_of,
    url_of,
    usage_of,
)
from portal.apps.models import App, Instance, InstanceState, ProcessFormation
from portal.apps.sizes import Size
from portal.builds.models import BuildState
from portal.deploys.app_status import status_of
from portal.errors import Conflict, NameRefused, NotAllowed, NotFound, ValueRefused
from portal.lifecycle import app_actions
from portal.releases.access import config_of_release, open_rollout, rollouts_of
from portal.releases.models import RolloutState
from tests.portal.conftest import People
from tests.portal.shipyard import deploy, submit_archive


def live_app(people: People, processes: dict[str, str] | None = None) -> App:
    app = people.app()
    deploy(submit_archive(people.owner, app), processes=processes)
    app.refresh_from_db()
    return app


def test_only_the_team_of_an_app_sees_it(people: People) -> None:
    app = people.app()
    assert list(apps_of(people.owner)) == [app]
    assert url_of(app) == "http://hello.slipway.localhost:8080"
    assert app_for(people.admin, "hello") == app
    with pytest.raises(NotFound):
        app_for(people.stranger, "hello")
    with pytest.raises(NotAllowed):
        app_actions.create_app(people.stranger, team=people.blue, name="other")


def test_an_app_name_is_unique_on_the_platform(people: People) -> None:
    people.app()
    with pytest.raises(NameRefused, match="hello is already in use"):
        app_actions.create_app(people.stranger, team=people.red, name="hello")


def test_config_vars_are_stored_before_the_first_deploy(people: People) -> None:
    app = people.app()
    assert app_actions.set_config_vars(people.owner, app=app, changes={"A": "1", "B": "2"}) is None
    rollout = deploy(submit_archive(people.owner, app))
    assert rollout is not None
    assert config_of_release(rollout.release) == {"A": "1", "B": "2"}


def test_a_config_change_of_a_deployed_app_makes_a_release(people: People) -> None:
    app = live_app(people)
    release = app_actions.set_config_vars(people.owner, app=app, changes={"B": "2", "A": "1"})
    assert release is not None
    assert (release.number, release.description) == (2, "Set A, B")
    assert config_of_release(release) == {"A": "1", "B": "2"}
    second = app_actions.set_config_vars(people.owner, app=app, changes={"A": None, "B": "3"})
    assert second is not None
    assert second.description == "Set B and unset A"
    assert config_of_release(release) == {"A": "1", "B": "2"}, "releases are immutable"
    assert config_of(app) == {"B": "3"}
    assert "2" not in " ".join(
        entry.text for entry in audit_of_app(app) if "set" in entry.text
    ).replace("v2", "")


def test_a_config_change_that_changes_nothing_makes_no_release(people: People) -> None:
    app = live_app(people)
    app_actions.set_config_vars(people.owner, app=app, changes={"A": "1"})
    assert (
        app_actions.set_config_vars(people.owner, app=app, changes={"A": "1", "NOT_THERE": None})
        is None
    )


def test_a_config_change_during_a_rollout_keeps_the_new_code(people: People) -> None:
    app = live_app(people)
    build = submit_archive(people.owner, app, b"newer")
    from portal.deploys.actions import mark_building, succeed

    mark_building(build)
    coming = succeed(build, "sha256:" + "1" * 64, {"web": "new"})
    assert coming is not None
    release = app_actions.set_config_vars(people.owner, app=app, changes={"A": "1"})
    assert release is not None
    assert release.image == "sha256:" + "1" * 64
    assert [rollout.state for rollout in rollouts_of(app)[:2]] == [
        RolloutState.PENDING,
        RolloutState.SUPERSEDED,
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("1A", "x"),
        ("A-B", "x"),
        ("", "x"),
        ("PORT", "1"),
        ("A", "a\0b"),
        ("A", "x" * 40_000),
        ("A" * 129, "x"),
    ],
)
def test_config_vars_that_no_process_can_have_are_refused(
    people: People, name: str, value: str
) -> None:
    with pytest.raises(ValueRefused):
        app_actions.set_config_vars(people.owner, app=people.app(), changes={name: value})


def test_web_gets_one_instance_and_other_types_wait_until_they_are_scaled(people: People) -> None:
    app = live_app(people, {"web": "w", "worker": "k", "release": "migrate"})
    assert [(row.process, row.count) for row in formation_of(app)] == [("web", 1), ("worker", 0)]
    notes = [step["text"] for step in rollouts_of(app)[0].steps]
    assert "worker is new and has no instances. Scale it to start it" in notes
    app_actions.scale(people.owner, app=app, sizes={"worker": Size(count=1)})
    deploy(submit_archive(people.owner, app, b"two"), processes={"web": "w", "worker": "k"})
    assert [(row.process, row.count) for row in formation_of(app)] == [("web", 1), ("worker", 1)]


def test_an_app_with_a_single_type_gets_one_instance_of_it(people: People) -> None:
    app = live_app(people, {"bot": "b", "release": "migrate"})
    assert [(row.process, row.count) for row in formation_of(app)] == [("bot", 1)]


def test_scaling_survives_a_deploy_and_removed_types_disappear(people: People) -> None:
    app = live_app(people, {"web": "w", "worker": "k"})
    app_actions.scale(people.owner, app=app, sizes={"web": Size(count=3, memory=256 * 2**20)})
    deploy(submit_archive(people.owner, app, b"two"), processes={"web": "w"})
    rows = list(formation_of(app))
    assert [(row.process, row.count, row.memory) for row in rows] == [("web", 3, 256 * 2**20)]


def test_scaling_an_unknown_process_type_lists_the_known_ones(people: People) -> None:
    app = live_app(people, {"web": "w", "worker": "k"})
    with pytest.raises(NotFound) as refusal:
        app_actions.scale(people.owner, app=app, sizes={"wbe": Size(count=1)})
    assert refusal.value.explain() == "hello has no process type wbe. It has web, worker."
    with pytest.raises(NotFound, match="no process type web"):
        app_actions.scale(people.owner, app=people.app("empty"), sizes={"web": Size(count=1)})


def test_sizes_too_small_to_start_are_refused(people: People) -> None:
    app = live_app(people)
    for size in (
        Size(memory=2**20),
        Size(cpu=1),
        Size(processes=1),
        Size(count=-1),
        Size(count=2**40),
    ):
        with pytest.raises(ValueRefused):
            app_actions.scale(people.owner, app=app, sizes={"web": size})


def test_a_restart_raises_the_generation_and_needs_something_to_restart(people: People) -> None:
    with pytest.raises(Conflict, match="empty has no running instances"):
        app_actions.restart(people.owner, app=people.app("empty"))
    app = live_app(people)
    app_actions.restart(people.owner, app=app)
    app.refresh_from_db()
    assert app.generation == 1


def test_deleting_needs_the_name_and_ends_open_builds_and_rollouts(people: People) -> None:
    app = live_app(people)
    build = submit_archive(people.owner, app, b"two")
    with pytest.raises(ValueRefused, match="does not match"):
        app_actions.delete_app(people.owner, app=app, typed_name="helo")
    app_actions.delete_app(people.owner, app=app, typed_name="hello")
    build.refresh_from_db()
    assert (build.state, build.reason) == (BuildState.CANCELLED, "The app was deleted.")
    assert not apps_of(people.owner).exists()
    with pytest.raises(NotFound):
        app_actions.restart(people.owner, app=app)
    with pytest.raises(NameRefused, match="still being deleted"):
        people.app()
    app.refresh_from_db()
    app_actions.forget(app)
    assert people.app().pk != app.pk


def test_an_app_that_was_not_deleted_is_not_forgotten(people: People) -> None:
    app = people.app()
    app_actions.forget(app)
    assert App.objects.filter(pk=app.pk).exists()


def instance(app: App, id: str, state: str, *, process: str = "web", detail: str = "") -> Instance:
    return Instance.objects.create(
        id=id, app=app, process=process, release_number=1, node="here", state=state, detail=detail
    )


def test_the_status_describes_each_state_of_an_app(people: People) -> None:
    app = people.app()
    assert (status_of(app).word, status_of(app).sentence) == ("stopped", "Nothing is deployed yet.")
    deploy(submit_archive(people.owner, app))
    app.refresh_from_db()
    web = instance(app, "a", InstanceState.STARTING)
    assert status_of(app).word == "changing"
    Instance.objects.filter(pk=web.pk).update(state=InstanceState.LIVE)
    assert (status_of(app).word, status_of(app).sentence) == (
        "live",
        "v1 is live, 1 of 1 instance healthy.",
    )
    Instance.objects.filter(pk=web.pk).update(
        state=InstanceState.CRASHED, detail="It exited with code 3."
    )
    assert status_of(app).word == "failed"
    assert "It exited with code 3." in status_of(app).sentence
    Instance.objects.filter(pk=web.pk).update(state=InstanceState.LIVE)
    build = submit_archive(people.owner, app, b"two")
    assert status_of(app).word == "changing"
    from portal.deploys.actions import fail

    fail(build, "No Procfile.")
    assert (
        status_of(app).sentence
        == "v1 is live, 1 of 1 instance healthy. The last build failed: No Procfile."
    )
    ProcessFormation.objects.update(count=0)
    assert status_of(app).word == "stopped"
    assert open_rollout(app) is None


def test_usage_comes_from_redis_and_may_be_missing(people: People, broker: redis.Redis) -> None:
    app = people.app()
    instance(app, "web.1", InstanceState.LIVE)
    instance(app, "web.2", InstanceState.LIVE)
    instance(app, "web.0", InstanceState.STOPPED)
    sample = {
        "cpu_millicores": 12,
        "memory_bytes": 1,
        "memory_limit": 2,
        "processes": 3,
        "disk_bytes": 4,
        "at": 5,
    }
    broker.set("slipway:usage:web.1", json.dumps(sample), ex=15)
    there = list(instances_of(app))
    assert [row.id for row in there] == ["web.1", "web.2"]
    usage = usage_of(there)
    assert list(usage) == ["web.1"]
    assert usage["web.1"].cpu_millicores == 12
