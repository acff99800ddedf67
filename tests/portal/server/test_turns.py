"""The order of queued builds, and what pages show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.builds import queue_order
from portal.builds.models import BuildState
from portal.deploys import actions
from portal.deploys.progress import progress_of
from tests.portal.conftest import People
from tests.portal.shipyard import submit_archive


@pytest.mark.parametrize(
    ("waiting", "running", "expected"),
    [
        ([], [], []),
        ([(1, 7), (2, 7), (3, 7)], [], [1, 2, 3]),
        ([(1, 7), (2, 7), (3, 7), (4, 8)], [], [1, 4, 2, 3]),
        ([(1, 7), (2, 7), (3, 8)], [7], [3, 1, 2]),
        ([(1, 7), (2, 8), (3, 9), (4, 8)], [7, 7, 8], [3, 2, 1, 4]),
        ([(9, 7), (1, 8)], [], [1, 9]),
    ],
)
def test_teams_take_turns_and_within_a_team_the_oldest_is_first(waiting, running, expected) -> None:
    assert queue_order.order(waiting, running) == expected


@given(
    st.dictionaries(st.integers(1, 500), st.integers(1, 6), max_size=40),
    st.lists(st.integers(1, 6), max_size=10),
)
def test_every_build_has_one_position_and_no_waiting_team_is_two_behind_another(
    waiting, running
) -> None:
    found = queue_order.order(waiting.items(), running)
    assert sorted(found) == sorted(waiting)
    begun = {team: running.count(team) for team in range(1, 7)}
    for place, build in enumerate(found):
        team = waiting[build]
        still_waiting = {waiting[later] for later in found[place:]}
        assert all(begun[team] <= begun[other] for other in still_waiting)
        begun[team] += 1


@pytest.mark.parametrize(
    ("position", "words"),
    [
        (1, "1st in the queue. It starts when a build slot is free."),
        (2, "2nd in the queue, about 1 build before yours."),
        (3, "3rd in the queue, about 2 builds before yours."),
        (11, "11th in the queue, about 10 builds before yours."),
        (22, "22nd in the queue, about 21 builds before yours."),
        (112, "112th in the queue, about 111 builds before yours."),
    ],
)
def test_a_position_is_described_in_words(position, words) -> None:
    assert queue_order.words_of(position) == words


@pytest.mark.django_db
def test_a_page_shows_the_position_in_the_queue_until_the_build_starts(people: People) -> None:
    builds = [submit_archive(people.owner, people.app(name)) for name in ("one", "two", "three")]
    assert [queue_order.position_of(build) for build in builds] == [1, 2, 3]
    assert progress_of(builds[2]).sentence == "3rd in the queue, about 2 builds before yours."
    actions.mark_building(builds[0])
    builds[0].refresh_from_db()
    assert queue_order.position_of(builds[0]) is None
    assert progress_of(builds[2]).sentence == "2nd in the queue, about 1 build before yours."


@pytest.mark.django_db
def test_a_newer_build_of_an_app_cancels_only_its_older_ones(people: People) -> None:
    app, other = people.app(), people.app("other")
    running, elsewhere = (
        submit_archive(people.owner, app, b"one"),
        submit_archive(people.owner, other),
    )
    actions.mark_building(running)
    waiting = submit_archive(people.owner, app, b"two")
    newest = submit_archive(people.owner, app, b"three")
    for build in (running, waiting, newest, elsewhere):
        build.refresh_from_db()
    assert (running.state, running.reason) == (
        BuildState.CANCELLED,
        f"Build {waiting.pk} replaced it.",
    )
    assert (waiting.state, waiting.reason) == (
        BuildState.CANCELLED,
        f"Build {newest.pk} replaced it.",
    )
    assert waiting.finished_at is not None
    assert (newest.state, elsewhere.state) == (BuildState.QUEUED, BuildState.QUEUED)
    assert actions.succeed(running, "sha256:" + "0" * 64, {"web": "x"}) is None
