"""Releases and rollouts."""

import pytest
import redis
from pytest_django import Settings

from portal.activity.models import AuditEntry
from portal.apps.config import config_of
from portal.apps.models import App
from portal.deploys import going_live
from portal.deploys.actions import mark_building, succeed
from portal.errors import Conflict, NotAllowed, NotFound
from portal.lifecycle.app_actions import set_config_vars
from portal.releases import actions
from portal.releases.access import (
    config_of_release,
    kept_releases,
    open_rollout,
    release_of,
    releases_of,
    rollouts_of,
)
from portal.releases.models import Rollout, RolloutState
from tests.portal.conftest import People
from tests.portal.shipyard import PROCESSES, deploy, roll_out, submit_archive


def coming(people: People, app: App, content: bytes = b"an archive") -> Rollout:
    build = submit_archive(people.owner, app, content)
    mark_building(build)
    rollout = succeed(build, f"sha256:{len(content):064}", PROCESSES)
    assert rollout is not None
    return rollout


def test_releases_are_numbered_without_gaps(people: People) -> None:
    app = people.app()
    for content in (b"1", b"22", b"333"):
        roll_out(coming(people, app, content))
    assert [release.number for release in releases_of(app)] == [3, 2, 1]
    other = people.app("other")
    assert coming(people, other).release.number == 1


def test_a_rollback_is_a_new_release_with_the_old_image_config_and_processes(
    people: People,
) -> None:
    app = people.app()
    set_config_vars(people.owner, app=app, changes={"A": "old"})
    deploy(
        submit_archive(people.owner, app),
        image="sha256:" + "a" * 64,
        processes={"web": "old", "worker": "w"},
    )
    second = set_config_vars(people.owner, app=app, changes={"A": "new", "B": "1"})
    assert second is not None
    roll_out(second.rollouts.get())
    kept = actions.rollback(people.owner, app=app, number=1).release
    assert config_of_release(kept) == {"A": "new", "B": "1"}, "today's config vars are the default"
    rollout = actions.rollback(people.owner, app=app, number=1, with_old_config=True)
    release = rollout.release
    assert (release.number, release.description) == (4, "Roll back to v1")
    assert (release.image, release.processes) == (
        "sha256:" + "a" * 64,
        {"web": "old", "worker": "w"},
    )
    assert config_of_release(release) == {"A": "old"}
    assert config_of(app) == {"A": "old"}, "the next config change builds on what runs"


def test_a_rollback_to_the_live_or_an_unknown_release_is_refused(people: People) -> None:
    app = people.app()
    deploy(submit_archive(people.owner, app))
    with pytest.raises(Conflict, match="v1 is already live"):
        actions.rollback(people.owner, app=app, number=1)
    with pytest.raises(NotFound, match="no release v9"):
        actions.rollback(people.owner, app=app, number=9)
    with pytest.raises(NotAllowed):
        actions.rollback(people.stranger, app=app, number=1)


def test_the_last_releases_and_the_live_one_are_kept_and_a_rollback_beyond_them_is_refused(
    people: People, settings: Settings
) -> None:
    settings.KEPT_RELEASES = 2
    app = people.app()
    roll_out(coming(people, app, b"1"))
    roll_out(coming(people, app, b"22"))
    for content in (b"333", b"4444"):
        roll_out(coming(people, app, content), never_live="It did not answer.")
    app.refresh_from_db()
    assert [release.number for release in kept_releases(app)] == [4, 3, 2]
    with pytest.raises(
        Conflict, match="The image of v1 has been deleted. Only the images of the last 2 releases"
    ) as refusal:
        actions.rollback(people.owner, app=app, number=1)
    assert refusal.value.hint == "Deploy its source again."
    assert actions.rollback(people.owner, app=app, number=3).release.number == 5
    assert [release.number for release in kept_releases(app)] == [5, 4, 2]


def test_a_rollback_to_the_live_release_stops_an_open_rollout(people: People) -> None:
    app = people.app()
    deploy(submit_archive(people.owner, app))
    under_way = coming(people, app, b"bad")
    actions.rollback(people.owner, app=app, number=1)
    under_way.refresh_from_db()
    assert under_way.state == RolloutState.SUPERSEDED


def test_a_newer_rollout_replaces_an_open_one(people: People) -> None:
    app = people.app()
    first = coming(people, app, b"1")
    assert actions.advance(first, RolloutState.LAUNCHING)
    second = coming(people, app, b"22")
    assert not actions.advance(first, RolloutState.LAUNCHING)
    assert not going_live.finish_live(first)
    assert not actions.finish_failed(first, "late")
    first.refresh_from_db()
    assert (first.state, first.reason) == (RolloutState.SUPERSEDED, "v2 replaced it.")
    assert open_rollout(app) == second
    assert going_live.finish_live(second)
    app.refresh_from_db()
    assert app.current_release == second.release


def test_a_rollout_only_moves_forward(people: People) -> None:
    rollout = coming(people, people.app())
    assert actions.advance(rollout, RolloutState.RELEASING)
    assert actions.advance(rollout, RolloutState.LAUNCHING)
    assert not actions.advance(rollout, RolloutState.RELEASING)
    assert actions.advance(rollout, RolloutState.LAUNCHING), "taken up again after a lost worker"
    assert going_live.finish_live(rollout)
    assert not actions.advance(rollout, RolloutState.LAUNCHING)


def test_a_failed_rollout_has_a_reason_and_the_old_release_stays(people: People) -> None:
    app = people.app()
    deploy(submit_archive(people.owner, app))
    rollout = coming(people, app, b"bad")
    assert actions.finish_failed(rollout, "It exited with code 3.")
    app.refresh_from_db()
    assert app.current_release == release_of(app, 1)
    assert rollouts_of(app)[0].reason == "It exited with code 3."


def test_the_steps_do_not_repeat_a_sentence(people: People) -> None:
    rollout = coming(people, people.app())
    before = len(rollout.steps)
    for text in ("start web.1", "start web.1", "switch traffic", "start web.1"):
        actions.add_step(rollout, text)
    rollout.refresh_from_db()
    assert [step["text"] for step in rollout.steps[before:]] == [
        "start web.1",
        "switch traffic",
        "start web.1",
    ]


def test_only_an_admin_requests_newer_stacks_for_every_deployed_app(
    people: People, broker: redis.Redis
) -> None:
    app, other = people.app(), people.app("other")
    deploy(submit_archive(people.owner, app))
    deploy(submit_archive(people.owner, other, b"2"))
    people.app("empty")
    with pytest.raises(NotAllowed):
        actions.request_upgrade(people.owner, app=app)
    assert actions.request_upgrade(people.admin) == 2
    assert actions.request_upgrade(people.admin, app=app) == 1
    texts = list(
        AuditEntry.objects.filter(person=people.admin)
        .order_by("pk")
        .values_list("text", "app_name")
    )[-2:]
    assert texts == [
        ("requested the newest stack for all apps", ""),
        ("requested the newest version of its stack", "hello"),
    ]


def test_an_exchanged_image_makes_a_similar_release_unless_the_app_has_a_newer_one(
    people: People,
) -> None:
    app = people.app()
    set_config_vars(people.owner, app=app, changes={"A": "1"})
    deploy(submit_archive(people.owner, app))
    old = release_of(app, 1)
    new = actions.exchange_image(
        people.admin, app=app, of=old, image="sha256:" + "b" * 64, description="Upgrade"
    ).release
    assert (new.number, new.processes, new.build, config_of_release(new)) == (
        2,
        old.processes,
        old.build,
        {"A": "1"},
    )
    assert actions.rollback(people.owner, app=app, number=1).release.image == old.image
    with pytest.raises(Conflict, match="got a newer release than v1 in the meantime"):
        actions.exchange_image(
            None, app=app, of=old, image="sha256:" + "c" * 64, description="Upgrade"
        )
