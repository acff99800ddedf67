"""Tests of each rollout strategy in a simulated world."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.converge.actions import SetCanaryWeight, SetRoutes
from runtime.converge.canary_analysis import GroupTraffic
from runtime.converge.observed import WEB, Group, Phase
from runtime.converge.planning.plan import OutcomeState
from runtime.converge.strategy import CanaryStep, Strategy, StrategyKind
from runtime.router.routes import AppSituation
from tests.runtime.converge.world import DIES, NEVER, Killed, Temper, live

CANARY = Strategy(
    kind=StrategyKind.CANARY,
    steps=(CanaryStep(percent=1, seconds=30.0), CanaryStep(percent=50, seconds=60.0)),
    token="sesame",
)
RECREATE = Strategy(kind=StrategyKind.RECREATE)


def releases(world, instances):
    return sorted(world.instances[key].slot.group.release for key in instances)


def watch(world, *, tick=0.2, most=2000):
    """Step until the candidate is live or has failed. Yield after each step."""
    for _ in range(most):
        if world.candidate is None:
            return
        made = world.step()
        yield made
        world.now += 0 if made.actions else tick
    raise AssertionError("the rollout does not end")


def test_rolling_replaces_one_instance_at_a_time_with_one_extra_at_most():
    world = live({WEB: 3})
    world.candidate = world.release(2, counts={WEB: 3})
    mixtures = []
    for _ in watch(world):
        mixtures.append(releases(world, world.serving()))
        draining = {endpoint.instance for endpoint in world.routes.endpoints if endpoint.draining}
        running = [
            key
            for key, instance in world.instances.items()
            if instance.phase is Phase.RUNNING and key not in draining
        ]
        assert len(running) <= 4
        assert len(world.serving()) == 3
    seen = [
        mix for number, mix in enumerate(mixtures) if number == 0 or mix != mixtures[number - 1]
    ]
    assert seen == [[1, 1, 1], [1, 1, 2], [1, 2, 2], [2, 2, 2]]


def test_a_rolling_candidate_that_fails_half_way_is_replaced_before_removal():
    world = live({WEB: 3})
    world.candidate = world.release(2, counts={WEB: 3}, temper=Temper(boots_in=1.0, dies_in=2.5))
    for _ in watch(world):
        assert (
            sum(world.answers(key) for key in world.serving()) >= 2
        )  # a crash of the app itself may cost one instance
    assert "of v2 did not become ready" in world.failures[0]
    world.settle()
    assert releases(world, world.serving()) == [1, 1, 1]
    assert releases(world, world.instances) == [1, 1, 1]


def test_a_superseded_candidate_leaves_only_when_others_serve():
    world = live({WEB: 3})
    world.candidate = world.release(2, counts={WEB: 3})
    while releases(world, world.serving()) != [1, 2, 2]:
        world.step()
        world.now += 0.1
    world.candidate = world.release(3, counts={WEB: 3})
    for _ in watch(world):
        assert len(world.serving()) >= 3
    world.settle()
    assert releases(world, world.instances) == [3, 3, 3]


def test_a_canary_gets_its_shares_in_time_and_all_traffic_at_the_end():
    world = live({WEB: 4, "worker": 1})
    world.strategy = CANARY
    world.candidate = world.release(2, counts={WEB: 4, "worker": 1})
    began, shifts, canaries = world.now, [], set()
    for made in watch(world):
        shifts += [
            (round(action.at - began), action.percent)
            for action in made.actions
            if isinstance(action, SetCanaryWeight)
        ]
        if world.routes.canary is not None:
            canaries.add((world.routes.canary.percent, sum(map(world.is_canary, world.serving()))))
            assert world.routes.canary.token == "sesame"
        old = [key for key in world.serving() if not world.is_canary(key)]
        assert releases(world, old) in ([1, 1, 1, 1], [2, 2, 2, 2])
    assert [percent for _, percent in shifts] == [1, 50]
    assert shifts[1][0] - shifts[0][0] >= 30
    assert canaries == {(1, 1), (50, 4)}
    assert world.now - began >= 90
    world.settle()
    assert releases(world, world.instances) == [2, 2, 2, 2, 2]
    assert world.routes.canary is None


def test_open_connections_of_a_canary_survive_its_promotion():
    world = live({WEB: 1})
    world.strategy = CANARY
    world.candidate = world.release(2, counts={WEB: 1})
    for _ in watch(world):
        pass
    (fresh,) = world.serving()
    sides = [
        (endpoint.canary, endpoint.draining)
        for endpoint in world.routes.endpoints
        if endpoint.instance == fresh
    ]
    assert sorted(sides) == [(False, False), (True, True)]
    world.run(31)
    assert [(endpoint.canary, endpoint.draining) for endpoint in world.routes.endpoints] == [
        (False, False)
    ]


@pytest.mark.parametrize("temper", [NEVER, DIES, Temper(boots_in=1.0, dies_in=10.0)])
def test_a_failing_canary_loses_its_share_and_other_users_notice_nothing(temper):
    world = live({WEB: 2})
    old = world.serving()
    world.strategy = CANARY
    world.candidate = world.release(2, temper=temper)
    for _ in watch(world):
        assert set(old) <= set(world.serving())
    world.settle()
    assert world.serving() == old == sorted(world.instances)
    assert len(world.failures) == 1
    assert world.routes.canary is None


def test_a_canary_with_failing_requests_is_rolled_back_with_the_evidence():
    world = live({WEB: 2})
    old = world.serving()
    world.strategy = CANARY
    world.candidate = world.release(2)
    while world.routes.canary is None:
        world.step()
        world.now += 0.2
    world.traffic = {
        Group(1, 0): GroupTraffic(requests=9000, failed=1),
        Group(2, 0): GroupTraffic(requests=120, failed=9),
    }
    made = world.step()
    assert made.outcome.state is OutcomeState.FAILED
    assert made.outcome.rolled_back
    assert made.outcome.reason.startswith("v2 failed 9 of 120 (7.5 %) of its requests")
    assert world.routes.canary is None
    assert world.serving() == old
    world.settle()
    assert sorted(world.instances) == old


def test_a_restart_of_an_app_with_canaries_is_rolling():
    world = live({WEB: 2})
    world.strategy = CANARY
    world.current = world.release(1)
    generation = world.current.generation + 1
    world.current = type(world.current)(
        **{name: getattr(world.current, name) for name in world.current.__slots__}
        | {"generation": generation}
    )
    world.run(10)
    assert not any(endpoint.canary for endpoint in world.routes.endpoints)
    assert {instance.slot.group.generation for instance in world.instances.values()} == {generation}


def test_recreate_stops_all_old_instances_first_and_holds_requests():
    world = live({WEB: 2, "worker": 1})
    world.strategy = RECREATE
    world.candidate = world.release(2, counts={WEB: 2, "worker": 1})
    situations = []
    for made in watch(world):
        assert len({instance.slot.group for instance in world.instances.values()}) <= 1
        situations += [
            action.routes.situation for action in made.actions if isinstance(action, SetRoutes)
        ]
    assert AppSituation.HOLDING in situations
    assert not {AppSituation.CRASHED, AppSituation.NO_INSTANCE, AppSituation.NOT_DEPLOYED} & set(
        situations
    )
    world.settle()
    assert releases(world, world.instances) == [2, 2, 2]


def test_recreate_restores_the_old_release_on_failure_and_holds_requests():
    world = live({WEB: 1})
    world.strategy = RECREATE
    world.candidate = world.release(2, counts={WEB: 1}, temper=DIES)
    for _ in range(200):
        made = world.step()
        assert len({instance.slot.group for instance in world.instances.values()}) <= 1
        assert world.routes.situation in (AppSituation.SERVING, AppSituation.HOLDING)
        world.now += 0 if made.actions else 0.2
        if made.settled and world.candidate is None:
            break
    assert releases(world, world.serving()) == [1]
    assert world.failures


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([Temper(), Temper(boots_in=7.0), NEVER, DIES]), st.integers(0, 30)
        ),
        max_size=4,
    )
)
def test_recreate_never_runs_two_releases_at_once_despite_kills(rollouts):
    world = live({WEB: 2})
    world.strategy = RECREATE
    for number, (temper, lives) in enumerate(rollouts, start=2):
        world.candidate = world.release(number, temper=temper)
        world.lives_left = lives
        for _ in range(300):
            try:
                made = world.step()
            except Killed:
                continue
            finally:
                assert (
                    len(
                        {
                            instance.slot.group
                            for instance in world.instances.values()
                            if instance.phase is Phase.RUNNING
                        }
                    )
                    <= 1
                )
            world.now += 0 if made.actions else 0.7
            if world.candidate is None and made.settled:
                break
        assert world.candidate is None


def test_requests_are_held_during_a_restart_and_not_during_a_crash_loop():
    world = live({WEB: 1})
    victim = world.serving()[0]
    world.instances[victim].phase, world.instances[victim].exited_at = Phase.EXITED, world.now
    world.step()
    assert world.routes.situation is AppSituation.HOLDING
    world.run(3)
    assert world.routes.situation is AppSituation.SERVING
    world.tempers[1] = DIES
    victim = world.serving()[0]
    world.instances[victim].phase, world.instances[victim].exited_at = Phase.EXITED, world.now
    world.run(40)
    assert world.routes.situation is AppSituation.CRASHED


def test_an_invalid_canary_share_is_refused():
    with pytest.raises(ValueError, match="1 to 99 %"):
        CanaryStep(percent=0, seconds=1.0)
