"""Every command against a listening portal: what it does, and its refusal."""

import json
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone

from portal.apps import logs as app_logs
from portal.apps.models import App
from portal.jobs import actions as jobs
from portal.jobs.models import Run, RunState
from portal.lifecycle.account_actions import create_team
from tests.cli.conftest import Command
from tests.portal.conftest import People
from tests.portal.shipyard import FakeWorkers

NO_PORTAL = "http://127.0.0.1:1"


def test_sign_in_stores_the_token_for_this_user_alone(
    command: Callable[..., Command], portal_url: str, committed_people: People, tmp_path: Path
) -> None:
    run = command()
    assert "slipway login" in run.refused("apps", code=3)
    assert "slipway login URL" in run.refused("login", code=2)
    assert "not the address" in run.refused("login", "ftp://x", code=2)
    assert "slipway login" in run.refused("login", portal_url, stdin="slip_wrong\n", code=3)
    assert not (tmp_path / "credentials.json").exists()
    token = committed_people.token(committed_people.owner)
    run.done("login", portal_url, stdin=f"{token}\n")
    assert stat.S_IMODE((tmp_path / "credentials.json").stat().st_mode) == 0o600
    assert run.done("teams") == "TEAM\nblue\n"
    assert json.loads(run.done("teams", "--json")) == [{"name": "blue"}]
    run.done("logout")
    assert "slipway login" in run.refused("teams", code=3)
    assert "no token" in run.refused("logout", code=3)


def test_damaged_credentials_are_reported_with_their_file(
    command: Callable[..., Command], tmp_path: Path
) -> None:
    (tmp_path / "credentials.json").write_text("{")
    assert str(tmp_path / "credentials.json") in command().refused("apps", code=3)


def test_a_portal_that_does_not_answer_is_reported(command: Callable[..., Command]) -> None:
    assert "could not be reached" in command(NO_PORTAL, "slip_x").refused("apps", code=4)


def test_an_app_is_created_listed_shown_and_deleted(slipway: Command) -> None:
    assert slipway.done("apps") == ""
    created = json.loads(slipway.done("create", "shop", "--json"))
    assert created["name"] == "shop"
    assert "shop" in slipway.refused("create", "shop")
    assert "name" in slipway.refused("create", "Not a name")
    assert slipway.done("apps").splitlines()[0] == "APP\tTEAM\tSTATE\tRELEASE\tADDRESS"
    assert slipway.done("info", "--app", "shop").startswith("Name\tshop\n")
    assert "does not exist" in slipway.refused("info", "--app", "other", code=5)
    assert "No app is named" in slipway.refused("info", code=2)
    assert "--yes" in slipway.refused("delete", "--app", "shop", code=2)
    slipway.done("delete", "--app", "shop", "--yes")


def test_all_pages_of_apps_are_listed(slipway: Command, committed_people: People) -> None:
    App.objects.bulk_create(
        App(name=f"app-{number:03}", team=committed_people.blue) for number in range(203)
    )
    assert len(slipway.done("apps").splitlines()) == 204


def test_the_git_remote_names_the_app_and_no_file_has_the_token(slipway: Command) -> None:
    assert "does not exist" in slipway.refused("git", "remote", "--app", "x", code=5)
    subprocess.run(["git", "init", "-q"], cwd=slipway.folder, check=True)
    slipway.done("create", "shop")
    config = (slipway.folder / ".git/config").read_text()
    assert "/git/shop.git" in config
    assert slipway.environment["SLIPWAY_TOKEN"] not in config
    assert slipway.done("info").startswith("Name\tshop\n")
    assert slipway.done("git", "branch") == "Branch\tmain or master\n"
    assert slipway.done("git", "branch", "release") == "Branch\trelease\n"
    host = slipway.environment["SLIPWAY_URL"].partition("://")[2]
    said = slipway.done("git", "credential", "get", stdin=f"protocol=http\nhost={host}\n")
    assert said == f"username=token\npassword={slipway.environment['SLIPWAY_TOKEN']}\n"
    for other in ("protocol=http\nhost=other.test\n", f"protocol=https\nhost={host}\n", ""):
        assert slipway.done("git", "credential", "get", stdin=other) == ""


def test_config_vars_are_set_shown_compared_and_removed(slipway: Command, tmp_path: Path) -> None:
    slipway.done("create", "shop")
    slipway.environment["SLIPWAY_APP"] = "shop"
    slipway.done("config", "set", "A=1", "B=two words = three")
    slipway.done("config", "set", "C=-", stdin="line one\nline 'two' \\ three\n")
    assert slipway.done("config", "get", "B") == "two words = three\n"
    assert "not set" in slipway.refused("config", "get", "D", code=5)
    assert "NAME=VALUE" in slipway.refused("config", "set", "1A=x", code=2)
    assert "NAME=VALUE" in slipway.refused("config", "set", "A", code=2)
    exported = slipway.done("config", "export")
    (tmp_path / "work/.env").write_text(exported)
    assert slipway.done("config", "diff", ".env") == ""
    (tmp_path / "work/.env").write_text("A=2\nB='two words = three'\nD=new\n")
    differs = slipway("config", "diff", ".env")
    assert (differs.returncode, differs.stdout) == (1, "+ D\n~ A\n- C\n")
    slipway.done("config", "import", ".env")
    slipway.done("config", "unset", "B")
    values = json.loads(slipway.done("config", "--json"))
    assert values == {"A": "2", "C": "line one\nline 'two' \\ three\n", "D": "new"}
    assert "could not be read" in slipway.refused("config", "import", "no-such-file", code=2)
    (tmp_path / "work/bad.env").write_text("A=1\nnonsense\n")
    assert "nonsense" in slipway.refused("config", "import", "bad.env", code=2)


def test_config_is_edited_in_an_editor(slipway: Command, tmp_path: Path) -> None:
    slipway.done("create", "shop")
    slipway.environment["SLIPWAY_APP"] = "shop"
    slipway.done("config", "set", "A=1", "B=2")
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "A=1\\nC=3\\n" > "$1"\n')
    editor.chmod(0o755)
    slipway.environment["EDITOR"] = str(editor)
    slipway.done("config", "edit")
    assert json.loads(slipway.done("config", "--json")) == {"A": "1", "C": "3"}
    assert "Nothing was changed" in slipway("config", "edit").stderr


def test_a_folder_is_deployed_scaled_and_rolled_back(
    slipway: Command, fake_workers: FakeWorkers
) -> None:
    (slipway.folder / "Procfile").write_text("web: python app.py\n")
    slipway.done("create", "shop")
    slipway.environment["SLIPWAY_APP"] = "shop"
    first = slipway("deploy")
    assert first.returncode == 0, first.stderr
    assert "Found a Procfile" in first.stdout
    assert "v1 is live at" in first.stderr
    second = json.loads(slipway.done("deploy", "--json"))
    assert (second["rollout"]["release"], second["rollout"]["state"]) == (2, "live")
    queued = json.loads(slipway.done("deploy", "--no-wait", "--json"))
    assert "-> Done" in slipway.done("builds", "log", str(queued["id"]))
    assert len(slipway.done("builds").splitlines()) == 4

    assert slipway.done("scale", "web=2", "web.memory=512M").splitlines()[1].startswith("web\t2\t")
    assert "is not a size" in slipway.refused("scale", "web", code=2)
    assert "plain number" in slipway.refused("scale", "web=2M", code=2)
    assert "not a size" in slipway.refused("scale", "web.memory=much", code=2)
    slipway.done("restart")

    listed = slipway.done("releases").splitlines()
    assert listed[1].split("\t")[0].startswith("v")
    slipway.done("rollback", "v1", "--no-wait")
    assert "not a release" in slipway.refused("rollback", "x1", code=2).lower()
    assert "has no release v99" in slipway.refused("rollback", "v99", code=5)


def test_a_failed_build_and_a_failed_rollout_end_with_one(
    slipway: Command, fake_workers: FakeWorkers
) -> None:
    (slipway.folder / "Procfile").write_text("web: python app.py\n")
    slipway.done("create", "shop")
    slipway.environment["SLIPWAY_APP"] = "shop"
    fake_workers.fails_with = "pip found no version of djnago"
    assert "pip found no version of djnago" in slipway.refused("deploy")
    fake_workers.fails_with, fake_workers.never_live = "", "web.1 ended with code 1"
    assert "web.1 ended with code 1" in slipway.refused("deploy")
    assert "exclude each other" in slipway.refused("deploy", "--git", "x", "--image", "y", code=2)
    assert "not a folder" in slipway.refused("deploy", "nowhere", code=2)


def test_a_log_is_filtered_by_the_portal_and_followed(slipway: Command) -> None:
    slipway.done("create", "shop")
    slipway.environment["SLIPWAY_APP"] = "shop"
    path = app_logs.path_of(App.objects.get(name="shop"))
    path.write_text(
        "2026-11-24T00:50:09.179Z web.1 stdout started\n"
        "2026-11-24T00:50:10.179Z worker.1 stderr ERROR no queue\n"
        '2026-11-24T00:50:11.179Z web.1 stdout "GET / HTTP/1.1" 200 "slipway-health/1"\n'
    )
    assert [line.split(" ", 2)[2] for line in slipway.done("logs").splitlines()] == [
        "started",
        "ERROR no queue",
    ]
    assert len(slipway.done("logs", "--checks").splitlines()) == 3
    assert slipway.done("logs", "--source", "worker").count("\n") == 1
    assert slipway.done("logs", "--search", "QUEUE").count("\n") == 1
    assert slipway.done("logs", "--level", "error").count("\n") == 1
    assert slipway.done("logs", "--since", "2026-11-24T00:50:10Z", "--checks").count("\n") == 2
    assert slipway.done("logs", "--until", "2026-11-24T00:50:10Z").count("\n") == 1
    assert "cannot be followed" in slipway.refused("logs", "-f", "--until", "2026-11-24T00:50:10Z")
    with subprocess.Popen(
        [sys.executable, "-m", "slipway_cli", "logs", "-f", "--source", "worker"],
        env=slipway.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().endswith("ERROR no queue\n"), process.stderr
        with path.open("a") as file:
            file.write("2026-11-24T00:50:12.179Z web.1 stdout other\n")
            file.write("2026-11-24T00:50:13.179Z worker.1 stdout next\n")
        assert process.stdout.readline().endswith("worker.1 next\n")
        process.terminate()


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (("ps",), ""),
        (("runs",), ""),
        (("cron",), ""),
        (("domains",), ""),
        (("image",), ""),
        (("git", "branch"), "Branch"),
    ],
)
def test_what_an_app_has_is_listed(slipway: Command, words: tuple[str, ...], begins: str) -> None:
    slipway.done("create", "shop")
    slipway.environment["SLIPWAY_APP"] = "shop"
    assert slipway.done(*words).startswith(begins)
    assert json.loads(slipway.done(*words, "--json")) in ([], {"branch": None})


def test_domains_and_traffic_are_changed(slipway: Command) -> None:
    slipway.done("create", "shop")
    slipway.environment["SLIPWAY_APP"] = "shop"
    added = slipway("domains", "add", "shop.example.com")
    assert "TXT record" in added.stderr, added
    assert "shop.example.com" in slipway.done("domains")
    assert "example" in slipway.refused("domains", "add", "not a host")
    slipway.done("domains", "remove", "shop.example.com", "--yes")
    shown = json.loads(slipway.done("traffic", "sleep_minutes=30", "https_only=true", "--json"))
    assert (shown["sleep_minutes"], shown["https_only"]) == (30, True)
    assert json.loads(slipway.done("traffic", "sleep_minutes=", "--json"))["sleep_minutes"] is None
    assert "nonsense" in slipway.refused("traffic", "nonsense=1")
    slipway.done("maintenance", "on")
    assert "neither on nor off" in slipway.refused("maintenance", "maybe", code=2)


def test_any_request_can_be_sent(slipway: Command) -> None:
    assert json.loads(slipway.done("api", "get", "teams")) == [{"name": "blue"}]
    sent = slipway.done("api", "POST", "/apps", '{"name": "shop"}')
    assert json.loads(sent)["name"] == "shop"
    assert "not JSON" in slipway.refused("api", "POST", "/apps", "{", code=2)


def test_doctor_names_what_is_wrong(slipway: Command, command: Callable[..., Command]) -> None:
    assert "token: accepted" in slipway.done("doctor")
    nobody = command(NO_PORTAL, "slip_x")("doctor")
    assert (nobody.returncode, "WRONG  token" in nobody.stdout) == (1, True)


@pytest.mark.parametrize("name", ["[red]x[/red]", "../x", "a/b", "%2e%2e", "x?y=1", "x#y"])
def test_odd_names_are_one_part_of_the_path(slipway: Command, name: str) -> None:
    assert slipway.refused("info", "--app", name, code=5)


def test_a_person_of_several_teams_chooses_one(slipway: Command, committed_people: People) -> None:
    create_team(committed_people.owner, name="green")
    said = slipway.refused("create", "shop", code=2)
    assert "--team NAME" in said
    slipway.done("create", "shop", "--team", "green")
    assert slipway.done("apps").splitlines()[1].split("\t")[:2] == ["shop", "green"]


@pytest.mark.parametrize(("code", "state"), [(0, RunState.SUCCEEDED), (7, RunState.FAILED)])
def test_a_command_is_run_with_its_output_and_its_exit_code(
    slipway: Command, fake_workers: FakeWorkers, code: int, state: RunState
) -> None:
    (slipway.folder / "Procfile").write_text("web: python app.py\n")
    slipway.done("create", "shop")
    slipway.environment["SLIPWAY_APP"] = "shop"
    assert "no live release" in slipway.refused("run", "true")
    slipway.done("deploy")
    path = app_logs.path_of(App.objects.get(name="shop"))

    def work() -> None:
        while not (run := Run.objects.filter(app__name="shop").first()):
            time.sleep(0.05)
        jobs.assign_to_worker(run, most=4)
        now = timezone.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with path.open("a") as file:
            file.write(f"{now} web.1 stdout not of the run\n{now} {run.source} stdout migrated\n")
            file.write(f"{now} {run.source} stdout \n{now} {run.source} stderr two  words\n")
        jobs.finish(run, state, "" if code == 0 else "It exited with code 7.", exit_code=code)
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    ended = slipway("run", "python", "manage.py", "say", "two words", "--app", "other")
    worker.join(30)
    assert (ended.returncode, ended.stdout) == (code, "migrated\n\ntwo  words\n"), ended.stderr
    assert Run.objects.get().command == "python manage.py say 'two words' --app other"
