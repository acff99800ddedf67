"""The admin page: the node, capacity in words, teams with their quotas, people, images."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec
import pytest
import redis
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from portal.accounts.models import Person, Team
from portal.activity.models import AuditEntry
from portal.images.clean_up import KEY as CLEAN_UP
from portal.images.clean_up import CleanUp
from portal.lifecycle import account_actions as accounts
from portal.metrics.node import KEY, WORKER_KEY, NodeSample, Pressure, WorkerSample
from portal.quotas.access import quota_of
from tests.portal.pages.fleet import PASSWORD
from tests.portal.test_queue import queued

GIB = 2**30
QUOTA = {
    "apps": "12",
    "instances": "30",
    "cpu": "6",
    "cpu_per_instance": "1",
    "memory": "12G",
    "memory_per_instance": "1G",
    "disk": "10G",
    "disk_per_instance": "2G",
    "sleep_minutes": "0",
    "processes_per_instance": "256",
}


def sample(**values: object) -> bytes:
    node = NodeSample(
        at=time.time(),
        cpu=37.4,
        cores=4,
        load=(1.25, 0.9, 0.4),
        memory_used=5 * GIB,
        memory_total=8 * GIB,
        disk_used=20 * GIB,
        disk_available=60 * GIB,
        pressure=Pressure(cpu=12.0, memory=3.0, io=0.5),
        instances=7,
        router_answers=True,
        versions={"Slipway": "0.1.0", "HAProxy": "2.6.12"},
    )
    return msgspec.json.encode(msgspec.structs.replace(node, **values))


def page_of(client: Client, query: str = "") -> str:
    answer = client.get(f"/admin?{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_node_shows_its_use_its_queues_and_which_parts_answer(
    admin: Client, broker: redis.Redis
) -> None:
    broker.set(KEY, sample())
    beat = WorkerSample(at=time.time(), tasks=2, at_once=12)
    broker.set(WORKER_KEY % "worker-node", msgspec.json.encode(beat))
    old = WorkerSample(at=time.time() - 40, tasks=0, at_once=2)
    broker.set(WORKER_KEY % "worker-build", msgspec.json.encode(old))
    broker.rpush("build", "one", "two", "three")
    page = admin.get("/admin/node").content.decode()
    for words in (
        "37 %",
        "5 GiB",
        "of 80 GiB",
        "1.25",
        "CPU 12 %",
        "memory 3 %",
        "It watches 7 instances.",
        "It runs 2 of at most 12 tasks at once.",
        "It has not answered for 25 s, so its queues wait.",
        "3 waiting",
        "2.6.12",
        "1 building",
    ):
        assert words in page
    assert page.count("silent") == 1
    assert page in page_of(admin)


@pytest.mark.parametrize("values", [{"at": 0.0}, {"router_answers": False}])
def test_a_silent_part_says_what_to_do(
    admin: Client, broker: redis.Redis, values: dict[str, object]
) -> None:
    broker.set(KEY, sample(**values))
    page = admin.get("/admin/node").content.decode()
    assert "Look at its log, and start it again." in page


def test_a_kernel_without_pressure_says_so(admin: Client, broker: redis.Redis) -> None:
    broker.set(KEY, sample(pressure=Pressure()))
    assert "does not measure pressure" in admin.get("/admin/node").content.decode()


def test_capacity_says_in_words_how_much_is_promised(admin: Client) -> None:
    team = Team.objects.get(name="harbour")
    quota = quota_of(team)
    quota.memory = 2**50
    quota.save()
    page = page_of(admin)
    assert "Quotas promise 1" in page
    assert "times as much as the node has. Teams share it if all use their full quota." in page


def test_the_number_of_queries_does_not_depend_on_teams_and_people(
    admin: Client, broker: redis.Redis
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            page_of(admin)
        return len(found)

    before = queries()
    for number in range(30):
        person = accounts.create_person(None, username=f"sailor{number}", password=PASSWORD)
        accounts.create_team(person, name=f"crew-{number}")
    page = page_of(admin)
    assert queries() == before <= 16
    assert "Page 1 of 2" in page
    assert len(page) < 100_000
    second = page_of(admin, "teams=2&people=2")
    assert "crew-9" in second
    assert "sailor9" in page_of(admin, "person=SAILOR9")
    assert "sailor8" not in page_of(admin, "person=sailor9")


def test_a_quota_is_edited_in_the_list(admin: Client) -> None:
    page = page_of(admin)
    assert "?edit=harbour#teams" in page
    page = page_of(admin, "edit=harbour")
    assert 'action="/admin/teams/harbour"' in page
    assert "pier" not in page[page.index('id="teams"') : page.index('id="images"')]
    answer = admin.post("/admin/teams/harbour", {**QUOTA, "inline": "1"}, follow=True)
    assert "The quota of harbour was saved." in answer.content.decode()
    quota = quota_of(Team.objects.get(name="harbour"))
    assert (quota.apps, quota.cpu, quota.memory) == (12, 6000, 12 * GIB)


def test_an_invalid_quota_in_the_list_keeps_what_was_typed(admin: Client) -> None:
    answer = admin.post("/admin/teams/harbour", {**QUOTA, "memory": "lots", "inline": "1"})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Invalid size: lots. Use for example 512M or 1.5G." in page
    assert 'value="lots"' in page
    assert 'id="teams"' in page


def test_a_preview_shows_the_use_and_the_capacity_with_the_typed_limits(admin: Client) -> None:
    preview = admin.get("/admin/teams/harbour/preview", {**QUOTA, "apps": "1", "memory": "900T"})
    page = preview.content.decode()
    assert "of 900 TiB" in page
    assert "Below the current use: apps" in page
    assert "times as much as the node has" in page
    broken = admin.get("/admin/teams/harbour/preview", {**QUOTA, "cpu": "many"}).content.decode()
    assert "Some values are not valid." in broken
    assert quota_of(Team.objects.get(name="harbour")).apps != 1


def test_a_clean_up_asks_first_runs_once_and_says_what_was_freed(
    admin: Client,
    broker: redis.Redis,
    django_capture_on_commit_callbacks: Callable[..., AbstractContextManager[object]],
) -> None:
    page = page_of(admin)
    assert "No clean-up yet." in page
    assert "Clean up now" in page
    with django_capture_on_commit_callbacks(execute=True):
        answer = admin.post("/admin/clean-up", follow=True)
    assert "The clean-up was started." in answer.content.decode()
    person = Person.objects.get(username="admin")
    assert ("upkeep", "slipway.collect_garbage", [person.pk]) in queued(broker)
    running = admin.get("/admin/clean-up").content.decode()
    assert "Cleaning up" in running
    assert 'hx-trigger="every 2s"' in running
    done = CleanUp(finished_at=time.time() + 1, images=2, layers=1, freed=3 * GIB // 2, by="admin")
    broker.set(CLEAN_UP, msgspec.json.encode(done))
    page = admin.get("/admin/clean-up").content.decode()
    assert "by admin" in page
    assert "removed 2 images, 1 layer" in page
    assert "1.5 GiB freed" in page
    assert "hx-trigger" not in page
    assert AuditEntry.objects.filter(text="asked to clean up images", person=person).exists()


def test_the_page_works_without_a_supervisor(admin: Client) -> None:
    assert "The state of the node is not known" in page_of(admin)
