"""Push to apps that do not exist, with the real git to a listening portal."""

import subprocess
import threading
from pathlib import Path

import pytest

from portal.accounts.models import Membership, Role
from portal.apps.models import App
from portal.builds.models import Build
from portal.lifecycle.account_actions import create_team
from portal.lifecycle.app_actions import delete_app
from portal.quotas.models import Quota
from tests.portal.conftest import People
from tests.portal.git.test_git import Checkout
from tests.portal.shipyard import FakeWorkers


@pytest.fixture
def checkout(tmp_path: Path, portal_url: str) -> Checkout:
    made = Checkout(tmp_path, portal_url)
    made.commit()
    return made


@pytest.fixture
def token(committed_people: People) -> str:
    return committed_people.token(committed_people.owner)


def test_a_push_creates_the_app_and_says_so_with_its_team_and_url(
    checkout: Checkout, fake_workers: FakeWorkers, committed_people: People, token: str
) -> None:
    pushed = checkout.push("fresh", token)
    assert pushed.returncode == 0, pushed.stderr
    first = next(line for line in pushed.stderr.splitlines() if line.startswith("remote:"))
    assert (
        first.strip()
        == "remote: Created app fresh in team blue: http://fresh.slipway.localhost:8080"
    )
    assert "http://fresh.slipway.localhost:8080 is live." in pushed.stderr
    assert App.objects.get().team == committed_people.blue
    assert "Created app" not in checkout.push("fresh", token, "+main").stderr


def test_a_large_first_push_says_that_it_created_the_app(
    checkout: Checkout, fake_workers: FakeWorkers, token: str
) -> None:
    """Git sends an empty request before a large push. It does not create the app."""
    checkout.git("config", "http.postBuffer", "65536")
    (checkout.folder / "noise").write_bytes(bytes(range(256)) * 4096)
    checkout.git("config", "core.compression", "0")
    checkout.commit("Large", Procfile="web: x\n")
    pushed = checkout.push("large", token)
    assert pushed.returncode == 0, pushed.stderr
    assert "remote: Created app large in team blue" in pushed.stderr


def test_a_dry_run_and_a_fetch_create_nothing(
    checkout: Checkout, committed_people: People, token: str
) -> None:
    dry = checkout.git("push", "--dry-run", checkout.remote("fresh", token), "main", check=False)
    assert dry.returncode == 0, dry.stderr
    fetched = checkout.git("fetch", checkout.remote("fresh", token), check=False)
    assert "App fresh does not exist" in fetched.stderr
    assert not App.objects.exists()


def test_the_url_chooses_the_team_and_without_it_the_first_by_name_is_used(
    checkout: Checkout, fake_workers: FakeWorkers, committed_people: People, token: str
) -> None:
    create_team(committed_people.owner, name="amber")
    pushed = checkout.push("one", token)
    assert "Created app one in team amber" in pushed.stderr, pushed.stderr
    assert "You are in several teams. amber is the first by name." in pushed.stderr
    assert "/git/TEAM/APP.git" in pushed.stderr
    chosen = checkout.push("blue/two", token)
    assert chosen.returncode == 0, chosen.stderr
    assert "Created app two in team blue" in chosen.stderr
    assert "several teams" not in chosen.stderr
    wrong = checkout.push("amber/two", token)
    assert "App two is not in team amber, but in team blue." in wrong.stderr


def test_a_member_may_create_an_app_and_an_admin_in_a_named_team(
    checkout: Checkout, fake_workers: FakeWorkers, committed_people: People
) -> None:
    Membership.objects.create(
        team=committed_people.blue, person=committed_people.stranger, role=Role.MEMBER
    )
    token = committed_people.token(committed_people.stranger)
    assert checkout.push("blue/by-member", token).returncode == 0
    admin = committed_people.token(committed_people.admin)
    assert "Push to /git/TEAM/APP.git" in checkout.push("by-admin", admin).stderr
    assert checkout.push("blue/by-admin", admin).returncode == 0


@pytest.mark.parametrize("path", ["hello", "blue/hello", "blue/other"])
def test_another_teams_app_is_not_found_and_its_team_unknown(
    checkout: Checkout, committed_people: People, path: str
) -> None:
    committed_people.app("hello")
    pushed = checkout.push(path, committed_people.token(committed_people.stranger))
    assert pushed.returncode != 0
    wanted = (
        "Team blue does not exist, or you are not a member."
        if "/" in path
        else "App hello does not exist, or you do not have access to it."
    )
    assert wanted in pushed.stderr
    assert App.objects.count() == 1


def test_the_name_of_an_app_that_is_being_deleted_is_refused_only_to_its_team(
    checkout: Checkout, committed_people: People, token: str
) -> None:
    app = committed_people.app("gone")
    delete_app(committed_people.owner, app=app, typed_name="gone")
    assert "App gone is still being deleted. Push again" in checkout.push("gone", token).stderr
    stranger = committed_people.token(committed_people.stranger)
    assert "App gone does not exist, or you do not" in checkout.push("gone", stranger).stderr


def test_a_person_without_a_team_gets_the_same_answer_for_every_name(
    checkout: Checkout, committed_people: People
) -> None:
    committed_people.app("hello")
    Membership.objects.filter(person=committed_people.stranger).delete()
    token = committed_people.token(committed_people.stranger)
    answers = {
        checkout.push(name, token).stderr.replace(name, "NAME") for name in ("hello", "fresh")
    }
    assert len(answers) == 1
    assert "Ask a team's owner to add you." in answers.pop()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("My_App", "'My_App' is not a valid hostname."),
        ("my.app", "'my.app' is not a valid hostname."),
        ("a%00b", "is not a valid hostname."),
        ("$(id)", "'$(id)' is not a valid hostname."),
        ("a" * 41, "The name has 41 characters, 1 too many."),
        ("admin", "The name admin is reserved for the platform."),
    ],
)
def test_a_name_that_is_not_valid_is_refused(
    checkout: Checkout, committed_people: People, token: str, name: str, reason: str
) -> None:
    pushed = checkout.push(name, token)
    assert pushed.returncode != 0
    assert reason in pushed.stderr, pushed.stderr
    assert not App.objects.exists()


def test_a_team_that_has_all_its_apps_is_refused_with_the_quota(
    checkout: Checkout, committed_people: People, token: str
) -> None:
    Quota.objects.update(apps=0)
    pushed = checkout.push("fresh", token)
    assert pushed.returncode != 0
    assert "The quota of team blue is 0 apps" in pushed.stderr, pushed.stderr
    assert "ask an admin of this Slipway to raise the quota: keeper" in pushed.stderr
    assert not App.objects.exists()


def test_simultaneous_first_pushes_make_one_app(
    checkout: Checkout, fake_workers: FakeWorkers, committed_people: People, token: str
) -> None:
    Quota.objects.update(apps=1)
    outputs: list[subprocess.CompletedProcess[str]] = []
    threads = [
        threading.Thread(target=lambda: outputs.append(checkout.push("fresh", token)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert App.objects.count() == 1
    assert [push.returncode for push in outputs].count(0) >= 1, outputs
    assert len([push for push in outputs if "remote: Created app" in push.stderr]) == 1
    assert not any("quota" in push.stderr for push in outputs), outputs
    assert Build.objects.exists()
    assert checkout.push("fresh", token).returncode == 0
