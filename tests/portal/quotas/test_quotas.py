"""Quotas: checked in one module, with helpful messages."""

import pytest

from portal.activity.models import AuditEntry
from portal.apps.access import formation_of
from portal.apps.models import App
from portal.apps.sizes import Size
from portal.deploys import actions as builds
from portal.errors import NotAllowed, QuotaExceeded, ValueRefused
from portal.lifecycle.app_actions import scale
from portal.quotas.access import quota_of, team_uses, usage_of_team
from portal.quotas.actions import set_quota
from portal.quotas.decision import TeamUse, limited_by, over
from portal.quotas.models import Quota
from portal.releases.actions import retry_rollout
from portal.releases.models import RolloutState
from runtime.builds.requests import BuiltImage
from runtime.contract.manifest import AppFile, Process
from tests.portal.conftest import People
from tests.portal.shipyard import deploy, roll_out, submit_archive
from workers.bridge.translate import app_file

MIB = 2**20


def live_app(people: People, name: str = "hello", processes: dict[str, str] | None = None) -> App:
    app = people.app(name)
    deploy(submit_archive(people.owner, app), processes=processes)
    return app


def limit(people: People, **limits: int) -> Quota:
    return set_quota(people.admin, team=people.blue, limits=limits)


def test_one_app_too_many_is_refused_with_limit_use_and_admins(people: People) -> None:
    limit(people, apps=1)
    people.app()
    with pytest.raises(QuotaExceeded) as refusal:
        people.app("second")
    assert (
        refusal.value.sentence
        == "The quota of team blue is 1 apps in total. It uses 1; the change would need 2."
    )
    assert (
        refusal.value.hint
        == "Reduce the usage elsewhere, or ask an admin of this Slipway to raise the quota: keeper."
    )
    assert (refusal.value.name, refusal.value.limit, refusal.value.used, refusal.value.wanted) == (
        "apps",
        "1",
        "1",
        "2",
    )


@pytest.mark.parametrize(
    ("limits", "size", "words"),
    [
        (
            {"instances": 2},
            Size(count=3),
            "2 instances in total. It uses 1; the change would need 3",
        ),
        (
            {"cpu": 1000},
            Size(count=3),
            "1 CPU in total. It uses 0.5 CPU; the change would need 1.5 CPU",
        ),
        (
            {"memory": 1024 * MIB},
            Size(count=3),
            "1 GiB of memory in total. It uses 512 MiB; the change would need 1.5 GiB",
        ),
        (
            {"disk": 600 * MIB},
            Size(count=2),
            "600 MiB of disk in total. It uses 512 MiB; the change would need 1 GiB",
        ),
        ({"cpu_per_instance": 600}, Size(cpu=700), "at most 0.6 CPU; web needs 0.7 CPU"),
        (
            {"memory_per_instance": 600 * MIB},
            Size(memory=700 * MIB),
            "at most 600 MiB of memory; web needs 700 MiB",
        ),
        (
            {"processes_per_instance": 200},
            Size(processes=201),
            "at most 200 processes; web needs 201",
        ),
        (
            {"disk_per_instance": 600 * MIB},
            Size(disk=700 * MIB),
            "at most 600 MiB of disk; web needs 700 MiB",
        ),
    ],
)
def test_scaling_beyond_each_limit_is_refused_with_its_own_message(
    people: People, limits: dict[str, int], size: Size, words: str
) -> None:
    app = live_app(people)
    limit(people, **limits)
    with pytest.raises(QuotaExceeded) as refusal:
        scale(people.owner, app=app, sizes={"web": size})
    assert words in refusal.value.sentence


def test_the_use_is_the_sum_over_all_apps_of_the_team(people: People) -> None:
    live_app(people)
    live_app(people, "other", {"web": "w", "worker": "k", "release": "r"})
    assert usage_of_team(people.blue) == TeamUse(
        apps=2, instances=2, cpu=1000, memory=1024 * MIB, disk=1024 * MIB
    )
    assert usage_of_team(people.red) == TeamUse()


def test_a_team_over_its_quota_cannot_deploy_but_can_scale_down(people: People) -> None:
    app = live_app(people)
    scale(people.owner, app=app, sizes={"web": Size(count=4)})
    quota = limit(people, instances=2)
    assert over(quota, usage_of_team(people.blue)) == ["instances (4 of 2)"]
    with pytest.raises(QuotaExceeded, match="is 2 instances in total. It uses 4"):
        submit_archive(people.owner, app, b"two")
    scale(people.owner, app=app, sizes={"web": Size(count=3)})
    scale(people.owner, app=app, sizes={"web": Size(count=1)})
    submit_archive(people.owner, app, b"two")


def test_a_first_deploy_that_does_not_fit_is_refused_immediately(people: People) -> None:
    limit(people, memory=600 * MIB)
    live_app(people)
    with pytest.raises(
        QuotaExceeded,
        match="600 MiB of memory in total. It uses 512 MiB; the change would need 1 GiB",
    ):
        submit_archive(people.owner, people.app("second"))


def test_a_declared_type_that_does_not_fit_gets_no_instance_and_the_steps_say_so(
    people: People,
) -> None:
    limit(people, instances=1)
    build = submit_archive(people.owner, people.app())
    assert builds.mark_building(build)
    manifest = AppFile(file="slipway.toml", processes={"worker": Process(count=1)})
    processes = {"web": "w", "worker": "k"}
    built = BuiltImage(digest="sha256:" + "0" * 64, processes=processes, app_file=manifest)
    rollout = builds.succeed(build, built.digest, processes, app_file(built))
    assert [(row.process, row.count) for row in formation_of(build.app)] == [
        ("web", 1),
        ("worker", 0),
    ]
    assert any("worker will have no instances: " in step["text"] for step in rollout.steps)


def test_a_rollout_fails_if_the_quota_allows_no_instance_of_web(people: People) -> None:
    build = submit_archive(people.owner, people.app())
    limit(people, instances=0)
    rollout = deploy(build)
    assert rollout.state == RolloutState.FAILED
    assert rollout.reason.startswith("web cannot start: ")
    assert "0 instances in total" in rollout.reason
    assert usage_of_team(people.blue).instances == 0


def test_an_app_that_never_was_live_has_no_share_of_the_quota(people: People) -> None:
    limit(people, instances=1)
    build = submit_archive(people.owner, people.app("first"))
    assert builds.mark_building(build)
    rollout = builds.succeed(build, "sha256:" + "0" * 64, {"web": "w"})
    assert usage_of_team(people.blue).instances == 1  # while it is rolled out
    roll_out(rollout, never_live="It exited.")
    assert usage_of_team(people.blue).instances == 0
    live_app(people, "second")
    assert usage_of_team(people.blue).instances == 1
    with pytest.raises(QuotaExceeded, match="1 instances in total"):
        retry_rollout(people.owner, app=build.app, number=1)


def test_the_default_size_is_limited_by_the_limit_per_instance(people: People) -> None:
    limit(people, memory_per_instance=128 * MIB, cpu_per_instance=250)
    (row,) = formation_of(live_app(people))
    assert (row.memory, row.cpu) == (128 * MIB, 250)


def test_the_kernel_enforces_the_current_limit_per_instance(people: People) -> None:
    limit(people, cpu_per_instance=100)
    assert limited_by(Size(cpu=500, memory=64 * MIB), quota_of(people.blue)) == Size(
        cpu=100, memory=64 * MIB
    )


def test_only_admins_set_quotas_and_invalid_values_are_refused(people: People) -> None:
    with pytest.raises(NotAllowed, match="Only an admin"):
        set_quota(people.owner, team=people.blue, limits={"apps": 99})
    for limits in ({"apps": -1}, {"cpu": 0}, {"memory": 1}, {"apps": 2**40}, {"teams": 1}):
        with pytest.raises(ValueRefused):
            limit(people, **limits)


def test_a_new_quota_is_recorded_in_words_with_units(people: People) -> None:
    limit(people, cpu=1500, memory=2**30, apps=7)
    text = AuditEntry.objects.latest("pk").text
    assert text == "set the quota: cpu 10 CPU → 1.5 CPU, memory 10 GiB → 1 GiB, apps 10 → 7"
    with pytest.raises(ValueRefused, match=r"memory cannot be 1 Byte\. The minimum is "):
        limit(people, memory=1)


def test_the_admins_list_shows_teams_by_use(people: People) -> None:
    live_app(people)
    lines = team_uses()
    assert [line.team for line in lines] == [people.blue, people.red]
    assert (lines[0].use.instances, lines[0].people, lines[0].over) == (1, 1, [])
