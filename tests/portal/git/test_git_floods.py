"""Many pushes, slow pushes, pushes whose portal is killed, and pushes that never deploy."""

import asyncio
import http.client
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from django.conf import settings

from portal import repositories
from portal.accounts.models import Person
from portal.apps.models import App
from portal.builds.models import Build
from portal.gitserver import git_limits, leftovers, slots
from portal.gitserver.slots import Limit, SlotKind, Slots
from portal.lifecycle.account_actions import create_team
from portal.lifecycle.app_actions import create_app
from portal.quotas.models import Quota
from runtime.containers.cgroups.cgroup import PORTAL, Cgroups
from tests.portal.conftest import People, listening_portal
from tests.portal.git.packs import Pack, body_of, groups_in, push
from tests.portal.git.test_git import Checkout
from tests.portal.shipyard import FakeWorkers

MIB = 2**20


@pytest.fixture
def app(committed_people: People) -> App:
    return committed_people.app()


@pytest.fixture
def token(committed_people: People) -> str:
    return committed_people.token(committed_people.owner)


def small_push(message: bytes = b"Hello\n", *, ballast: int = 0) -> bytes:
    pack = Pack()
    entries = [("100644", b"Procfile", pack.add("blob", b"web: x\n"))]
    if ballast:
        entries.append(("100644", b"ballast", pack.add("blob", os.urandom(ballast))))
    return body_of(pack.commit(pack.tree(entries), message=message), pack.data())


def hold(limits: list[Limit]) -> list[Slots]:
    """Hold all slots of these kinds, like as many pushes would."""
    held = []
    while (taken := slots.take(limits)) is not None:
        held.append(taken)
    return held


def test_a_push_over_the_limit_is_refused_with_a_reason_and_a_time(
    portal_url: str, app: App, token: str, committed_people: People, tmp_path: Path
) -> None:
    held = hold(git_limits.open_pushes(app, committed_people.owner))
    assert len(held) == git_limits.MOST_OPEN
    try:
        checkout = Checkout(tmp_path, portal_url)
        checkout.commit()
        output = checkout.push("hello", token).stderr
        assert (
            "remote: Team blue, or you, already have 10 pushes in progress, which is the maximum."
            in output
        )
        refused = push(portal_url, "hello", token, small_push())
        assert (refused.status, refused.retry_after) == (429, "30")
    finally:
        for each in held:
            each.free()


def test_a_push_waits_for_a_slot_and_then_deploys(
    portal_url: str, fake_workers: FakeWorkers, app: App, token: str, committed_people: People
) -> None:
    held = hold(git_limits.unpacking(app, committed_people.owner))
    assert len(held) == 2
    threading.Timer(2, held[0].free).start()
    pushed = push(portal_url, "hello", token, small_push())
    held[1].free()
    assert "ok refs/heads/main" in pushed.report, pushed
    assert pushed.seconds > 1.5


def test_a_push_that_waits_too_long_for_a_slot_is_refused(
    app: App, committed_people: People
) -> None:
    held = hold(git_limits.unpacking(app, committed_people.owner))
    assert (
        asyncio.run(slots.wait(git_limits.unpacking(app, committed_people.owner), patience=0.3))
        is None
    )
    held[0].free()
    held.append(
        slots.take(git_limits.unpacking(app, committed_people.owner))
        or pytest.fail("the slot was not freed")
    )
    for held_slots in held[1:]:
        held_slots.free()


def test_a_person_with_two_teams_has_one_limit(committed_people: People) -> None:
    first = committed_people.app()
    second = create_app(
        committed_people.owner,
        team=create_team(committed_people.owner, name="green"),
        name="second",
    )
    held = hold(git_limits.unpacking(first, committed_people.owner))
    assert slots.take(git_limits.unpacking(second, committed_people.owner)) is None
    for held_slots in held:
        held_slots.free()


def test_a_slot_is_held_as_long_as_a_program_has_it() -> None:
    limit = [Limit(kind=SlotKind.TEAM_PACKING, holder=77, most=1)]
    taken = slots.take(limit)
    assert taken is not None
    program = subprocess.Popen(("sleep", "60"), pass_fds=taken.descriptors)
    taken.release()
    assert slots.take(limit) is None, "the program holds it"
    program.kill()
    program.wait()
    again = slots.take(limit)
    assert again is not None
    again.free()


def test_nothing_is_left_of_a_killed_portal_after_the_next_start(
    redis_server: str, fake_workers: FakeWorkers, app: App, token: str, portal_groups: Cgroups
) -> None:
    subtrees = [root / PORTAL for root in portal_groups.held]
    fake_workers.waits_for.clear()
    with listening_portal() as url:
        cut = threading.Thread(target=lambda: _push_cut(url, token))
        cut.start()
        _until(Build.objects.exists, "the push did not come as far as its build")
        group, *_ = groups_in(subtrees)
        pids = [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
        assert list(repositories.path_of(app).glob("objects/*incoming*")), "git has a quarantine"
        (settings.INCOMING / "git-abandoned.tar").write_bytes(b"half")
        os.kill(int(group.name.partition("-")[0]), signal.SIGKILL)
        cut.join()
        assert list(groups_in(subtrees)), "the kernel keeps what a killed portal has made"
    with listening_portal():
        _until(lambda: not list(groups_in(subtrees)), "groups are left")
        assert not [pid for pid in pids if Path(f"/proc/{pid}/exe").exists()]
        assert not list(repositories.path_of(app).glob("objects/*incoming*"))
        assert not list(settings.INCOMING.glob("git-*"))
        free = slots.take(git_limits.open_pushes(app, Person.objects.get(username="owner")))
        assert free is not None
        free.free()


def _push_cut(url: str, token: str) -> None:
    with pytest.raises((OSError, http.client.HTTPException)):
        push(url, "hello", token, small_push())


def test_a_repository_with_a_writer_is_not_cleaned(committed_people: People) -> None:
    app = committed_people.app()
    draft = repositories.path_of(app) / "objects" / "tmp_objdir-incoming-x"
    draft.mkdir(parents=True)
    writer = slots.take([git_limits.writing(app)])
    assert writer is not None
    assert leftovers.clean(app.pk) == 0
    writer.free()
    assert leftovers.clean(app.pk) == 1
    assert not draft.exists()
    repositories.remove(app)


def test_repositories_count_as_disk_usage_of_the_team(
    portal_url: str, fake_workers: FakeWorkers, app: App, token: str, tmp_path: Path
) -> None:
    Quota.objects.update(disk=18 * MIB, disk_per_instance=15 * MIB)
    assert (
        "ok refs/heads/main" in push(portal_url, "hello", token, small_push(ballast=3 * MIB)).report
    )
    assert repositories.size_of(repositories.path_of(app)) > 3 * MIB
    checkout = Checkout(tmp_path, portal_url)
    checkout.commit()
    output = checkout.push("hello", token, "+main").stderr
    assert (
        "remote: The quota of team blue is 18 MiB of disk in total. It uses 15 MiB; the change"
        " would need 18" in output
    )


def test_a_pack_larger_than_the_teams_disk_is_cut_off(
    portal_url: str, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    Quota.objects.update(disk=MIB, disk_per_instance=MIB)
    pushed = push(portal_url, "hello", token, small_push(ballast=3 * MIB))
    assert "! The sent data is larger than 9" in pushed.said
    assert " KiB, the remaining disk quota of team blue." in pushed.said
    _until(
        lambda: (
            not [path for path in repositories.path_of(app).glob("objects/**/*") if path.is_file()]
        ),
        "a part of the pack stays",
    )


def test_many_packs_are_joined(
    portal_url: str, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    path = repositories.path_of(app)
    assert "ok refs/heads/main" in push(portal_url, "hello", token, small_push()).report
    for number in range(35):
        pack = Pack()
        pack.add("blob", b"%d" % number)
        subprocess.run(
            ("git", "-C", path, "index-pack", "--stdin"),
            input=pack.data(),
            check=True,
            capture_output=True,
        )
    assert len(list(path.glob("objects/pack/*.pack"))) > 30
    push(portal_url, "hello", token, small_push(b"Again\n"))
    _until(lambda: len(list(path.glob("objects/pack/*.pack"))) <= 2, "the packs stay many")
    assert (
        subprocess.run(("git", "-C", path, "fsck"), check=False, capture_output=True).returncode
        == 0
    )


def _until(reached: object, complaint: str) -> None:
    deadline = time.monotonic() + 30
    while not reached():  # type: ignore[operator]
        assert time.monotonic() < deadline, complaint
        time.sleep(0.05)
