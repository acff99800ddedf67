"""Output of apps, builds and commits never has control characters as plain text. There is a test
for each place."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from portal.apps.models import App, Instance
from portal.builds.models import Build, BuildState
from portal.gitserver.management.commands.git_receive import say
from portal.plaintext import printable, printable_lines
from tests.portal.conftest import People
from tests.portal.pages.fleet import write_log
from tests.portal.shipyard import submit_archive

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m \x9b31m\r\x08\x7f\u202etxt.exe"
PRINTABLE = r"\x1b]0;owned\x07\x1b[2Jred \x9b31m\x0d\x08\x7f\u202etxt.exe"


@pytest.mark.parametrize(
    ("line", "safe"),
    [
        (HOSTILE, PRINTABLE),
        ("\tindented, ünïcode and 漢字 ✓", "\tindented, ünïcode and 漢字 ✓"),
        ("\x1b[1;38;5;208mwarm\x1b[0m", "warm"),
        ("two\nlines", r"two\x0alines"),
    ],
)
def test_control_characters_are_escaped_and_colours_removed(line: str, safe: str) -> None:
    assert printable(line) == safe


@given(st.text())
def test_no_text_keeps_a_control_character(text: str) -> None:
    assert not [
        sign
        for sign in printable(text)
        if sign != "\t" and (ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0)
    ]


def test_line_ends_are_kept() -> None:
    assert printable_lines("one\n\x1btwo") == "one\n\\x1btwo"


@pytest.fixture
def shop(people: People) -> App:
    app = people.app()
    for log in (*settings.APP_LOGS.glob("*"), *settings.BUILD_LOGS.glob("*")):
        log.unlink()
    return app


@pytest.fixture
def build(people: People, shop: App) -> Build:
    build = submit_archive(people.owner, shop)
    Build.objects.filter(pk=build.pk).update(
        description=HOSTILE, state=BuildState.FAILED, reason=HOSTILE
    )
    build.refresh_from_db()
    return build


@pytest.fixture
def api(people: People) -> Callable[[str], bytes]:
    client = Client(headers={"Authorization": f"Bearer {people.token(people.owner)}"})
    return lambda path: b"".join(client.get(f"/api/v1/apps/hello/{path}"))


def test_the_apis_log_of_an_app_is_printable(shop: App, api: Callable[[str], bytes]) -> None:
    write_log(settings.APP_LOGS / "hello.log", [("web.1", "stdout", HOSTILE)])
    text = api("log").decode()
    assert text.endswith(f" web.1 {PRINTABLE}\n")


def test_the_apis_log_of_a_build_is_printable(build: Build, api: Callable[[str], bytes]) -> None:
    write_log(settings.BUILD_LOGS / f"{build.pk}.log", [("build", "stdout", HOSTILE)])
    for query in ("", "?follow=true"):
        assert api(f"builds/{build.pk}/log{query}").decode().endswith(f" build {PRINTABLE}\n")


def test_the_apis_reasons_and_details_are_printable(
    shop: App, build: Build, api: Callable[[str], bytes]
) -> None:
    Instance.objects.create(
        id="one",
        app=shop,
        process="web",
        release_number=1,
        node="node",
        state="crashed",
        detail=HOSTILE,
    )
    for path in (f"builds/{build.pk}", "builds", "instances"):
        assert PRINTABLE.replace("\\", "\\\\") in api(path).decode()


def test_downloaded_logs_are_printable(people: People, build: Build) -> None:
    client = Client()
    client.force_login(people.owner)
    write_log(settings.APP_LOGS / "hello.log", [("web.1", "stdout", HOSTILE)] * 9000)
    write_log(settings.BUILD_LOGS / f"{build.pk}.log", [("build", "stdout", HOSTILE)])
    for path, lines in (("/apps/hello/logs/file", 9000), (f"/apps/hello/builds/{build.pk}/log", 1)):
        text = b"".join(client.get(path)).decode()
        assert text.count(PRINTABLE) == text.count("\n") == lines
        assert "\x1b" not in text


def test_a_line_without_an_end_is_downloaded_in_pieces(people: People, shop: App) -> None:
    client = Client()
    client.force_login(people.owner)
    (settings.APP_LOGS / "hello.log").write_bytes(b"\x1b" * (3 * 2**20))
    assert b"".join(client.get("/apps/hello/logs/file")) == rb"\x1b" * (3 * 2**20)


def test_the_output_for_a_pusher_is_printable(capfd: pytest.CaptureFixture[str]) -> None:
    say(f"Deploying {HOSTILE}\nand more")
    assert capfd.readouterr().err == f"Deploying {PRINTABLE}\nand more\n"


def test_error_messages_for_git_are_printable(
    portal_url: str, committed_people: People, tmp_path: Path
) -> None:
    token = committed_people.token(committed_people.owner)
    answer = subprocess.run(
        ("curl", "-s", "-u", f"any:{token}", f"{portal_url}/git/hello.git/info/refs?service=x"),
        capture_output=True,
        timeout=20,
    )
    assert b"\x1b" not in answer.stdout
    assert answer.stdout.endswith(b"\n")
