"""Push with the real git to a listening portal."""

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from portal import repositories
from portal.accounts.models import Person
from portal.apps.models import App
from portal.builds.models import Build, BuildState, Origin
from portal.builds.sources import path_of
from portal.quotas.models import Quota
from portal.releases.models import Release
from tests.portal.conftest import People
from tests.portal.shipyard import FakeWorkers, submit_archive


class Checkout:
    """A working copy."""

    def __init__(self, folder: Path, portal_url: str) -> None:
        self.folder = folder
        self.portal = portal_url
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "user.name", "Owner")
        self.git("config", "user.email", "owner@localhost")

    def commit(self, text: str = "Say hello", **files: str) -> str:
        for name, content in (files or {"Procfile": "web: python app.py\n"}).items():
            (self.folder / name).write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", text)
        return self.git("rev-parse", "HEAD").stdout.strip()

    def remote(self, app: str, token: str) -> str:
        return self.portal.replace("http://", f"http://any:{quote(token)}@") + f"/git/{app}.git"

    def git(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C.UTF-8",
        }
        return subprocess.run(
            ("git", *words),
            cwd=self.folder,
            env=environment,
            check=check,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def push(self, app: str, token: str, *refs: str) -> subprocess.CompletedProcess[str]:
        return self.git("push", self.remote(app, token), *(refs or ("main",)), check=False)


@pytest.fixture
def checkout(tmp_path: Path, portal_url: str) -> Checkout:
    return Checkout(tmp_path, portal_url)


@pytest.fixture
def app(committed_people: People) -> App:
    return committed_people.app()


@pytest.fixture
def token(committed_people: People) -> str:
    return committed_people.token(committed_people.owner)


def test_a_push_deploys_shows_the_build_log_and_ends_with_the_url(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str, committed_people: People
) -> None:
    commit = checkout.commit("Say hello")
    pushed = checkout.push("hello", token)
    assert pushed.returncode == 0, pushed.stderr
    remote = [
        line.removeprefix("remote: ").strip()
        for line in pushed.stderr.splitlines()
        if line.startswith("remote:")
    ]
    assert remote[0] == f"Deploying {commit[:8]} Say hello"
    assert "-> Found a Procfile" in remote
    assert "v1: start web.1" in remote
    assert (
        remote.index("-> Found a Procfile")
        < remote.index("-> Done")
        < remote.index("v1: start web.1")
    )
    assert [line for line in remote if line][-1] == "http://hello.slipway.localhost:8080 is live."
    build = Build.objects.get()
    assert (build.state, build.origin, build.created_by) == (
        BuildState.SUCCEEDED,
        Origin.GIT,
        committed_people.owner,
    )
    assert build.description == f"{commit[:8]} Say hello"
    assert path_of(build.source).read_bytes()[257:262] == b"ustar"


def test_a_failed_build_refuses_the_ref_with_the_reason(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    checkout.commit()
    fake_workers.fails_with = "no version of flask matches 99"
    pushed = checkout.push("hello", token)
    assert pushed.returncode != 0
    assert "remote: ! The build failed: no version of flask matches 99" in pushed.stderr
    assert "pre-receive hook declined" in pushed.stderr
    assert not checkout.git("ls-remote", checkout.remote("hello", token)).stdout
    fake_workers.fails_with = ""
    assert checkout.push("hello", token).returncode == 0, "the same commit can be pushed again"


def test_a_failed_rollout_refuses_the_ref_with_the_reason(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    checkout.commit()
    fake_workers.never_live = "web listens on 127.0.0.1:5000, not on 0.0.0.0:$PORT."
    pushed = checkout.push("hello", token)
    assert pushed.returncode != 0
    assert "v1 did not go live: web listens on 127.0.0.1:5000" in pushed.stderr


def test_a_waiting_pusher_sees_the_position_and_a_superseded_one_sees_the_newer_build(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str, committed_people: People
) -> None:
    checkout.commit()
    fake_workers.waits_for.clear()
    submit_archive(committed_people.owner, committed_people.app("busy"))
    _until(lambda: Build.objects.filter(state=BuildState.BUILDING).exists())
    submit_archive(committed_people.owner, committed_people.app("second"))
    pushed = threading.Thread(target=lambda: results.append(checkout.push("hello", token)))
    results: list[subprocess.CompletedProcess[str]] = []
    pushed.start()
    _until(lambda: Build.objects.filter(app=app).exists())
    time.sleep(2)  # the pusher gets a line once per second
    newer = submit_archive(committed_people.owner, app, b"newer")
    pushed.join(60)
    assert results[0].returncode != 0
    assert "remote: 2nd in the queue, about 1 build before yours." in results[0].stderr
    assert f"remote: ! The build was cancelled: Build {newer.pk} replaced it." in results[0].stderr


def _until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_pusher_sees_lines_while_the_build_runs(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    checkout.commit()
    fake_workers.waits_for.clear()
    environment = {"PATH": os.environ["PATH"], "HOME": str(checkout.folder)}
    command = ("git", "push", checkout.remote("hello", token), "main")
    push = subprocess.Popen(
        command, cwd=checkout.folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert push.stderr is not None
    for line in push.stderr:
        if "Found a Procfile" in line:
            break
    assert Build.objects.get().state == BuildState.BUILDING
    fake_workers.waits_for.set()
    push.stderr.read()
    assert push.wait(20) == 0


def test_a_pusher_who_disconnects_does_not_stop_the_deploy(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    commit = checkout.commit()
    fake_workers.waits_for.clear()
    environment = {"PATH": os.environ["PATH"], "HOME": str(checkout.folder)}
    command = ("git", "push", checkout.remote("hello", token), "main")
    push = subprocess.Popen(
        command,
        cwd=checkout.folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert push.stderr is not None
    for line in push.stderr:
        if "Found a Procfile" in line:
            break
    push.kill()
    push.wait(10)
    fake_workers.waits_for.set()
    refs = ""
    deadline = time.monotonic() + 20
    while commit not in refs and time.monotonic() < deadline:
        refs = checkout.git("ls-remote", checkout.remote("hello", token)).stdout
        time.sleep(0.1)
    assert Release.objects.filter(app=app, number=1).exists()
    assert commit in refs, "the ref follows the deploy"


def test_only_main_is_deployed_and_other_pushes_get_a_hint(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    checkout.commit()
    checkout.git("branch", "feature")
    pushed = checkout.push("hello", token, "feature")
    assert pushed.returncode != 0
    assert "Only main is deployed" in pushed.stderr
    assert "git push slipway feature:main" in pushed.stderr
    assert not Build.objects.exists()
    checkout.git("tag", "one")
    assert "Only main is deployed" in checkout.push("hello", token, "main", "one").stderr
    assert checkout.push("hello", token, "feature:main").returncode == 0
    assert "cannot be deleted" in checkout.push("hello", token, ":main").stderr


def test_a_branch_called_master_deploys_too(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    checkout.commit()
    assert checkout.push("hello", token, "main:master").returncode == 0


def test_a_rewritten_history_deploys_by_force(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    checkout.commit("One")
    assert checkout.push("hello", token).returncode == 0
    checkout.git("commit", "--quiet", "--amend", "--message", "Another")
    assert checkout.push("hello", token).returncode != 0, "git itself refuses without force"
    assert checkout.push("hello", token, "+main").returncode == 0
    assert Build.objects.count() == 2


def test_what_was_pushed_can_be_cloned(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    checkout.commit("One")
    assert checkout.push("hello", token).returncode == 0
    checkout.git("clone", "--quiet", checkout.remote("hello", token), "copy")
    assert (checkout.folder / "copy" / "Procfile").read_text() == "web: python app.py\n"


def test_a_wrong_token_is_asked_for_again_and_a_strangers_token_sees_no_app(
    checkout: Checkout, app: App, token: str, committed_people: People
) -> None:
    checkout.commit()
    assert "Authentication failed" in checkout.push("hello", "slip_wrong").stderr
    assert "Git needs one of your tokens" in checkout.push("hello", "slip_wrong").stderr
    strangers = checkout.push("hello", committed_people.token(committed_people.stranger))
    assert "App hello does not exist, or you do not have access to it" in strangers.stderr
    nothing = checkout.git("fetch", checkout.remote("nothing", token), check=False)
    assert "not found" in nothing.stderr


def test_a_team_over_its_quota_is_refused_with_limit_use_and_admins(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    checkout.commit()
    Quota.objects.update(instances=0)
    pushed = checkout.push("hello", token)
    assert pushed.returncode != 0
    assert (
        "The quota of team blue is 0 instances in total. It uses 0; the change would need 1."
        in pushed.stderr
    )
    assert "ask an admin of this Slipway to raise the quota: keeper" in pushed.stderr
    assert not Build.objects.exists()


def test_a_refused_push_leaves_no_objects_behind(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    checkout.commit(Procfile="web: x\n" + "y" * 5000)
    fake_workers.fails_with = "no"
    checkout.push("hello", token)
    objects = [
        path for path in (repositories.path_of(app) / "objects").rglob("*") if path.is_file()
    ]
    assert objects == []


def test_a_push_larger_than_gits_buffer_is_sent_in_chunks(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    (checkout.folder / "noise").write_bytes(os.urandom(8 * 2**20))
    checkout.commit()
    pushed = checkout.push("hello", token)
    assert pushed.returncode == 0, pushed.stderr
    assert path_of(Build.objects.get().source).stat().st_size > 8 * 2**20


def test_two_simultaneous_pushes_both_end(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, committed_people: People, token: str
) -> None:
    other = committed_people.app("other")
    checkout.commit()
    ends: dict[str, int] = {}

    def push(name: str, person: Person) -> None:
        ends[name] = checkout.push(name, token).returncode

    threads = [
        threading.Thread(target=push, args=(name, committed_people.owner))
        for name in ("hello", other.name)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert ends == {"hello": 0, "other": 0}


def test_a_push_records_the_commit_and_its_author(
    checkout: Checkout, fake_workers: FakeWorkers, app: App, token: str
) -> None:
    checkout.git("config", "user.name", "Zoë <script>")
    commit = checkout.commit("Say hello")
    assert checkout.push("hello", token).returncode == 0
    build = Build.objects.get(app=app)
    assert (build.commit, build.author) == (commit, "Zoë script")
