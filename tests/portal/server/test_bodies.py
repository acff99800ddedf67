"""Limits of request bodies of a listening portal, by sender."""

import base64
import http.client
import json
import select
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings as portal_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from portal.accounts.models import Person
from portal.builds.models import Build, Source
from portal.lifecycle.account_actions import create_person
from tests.portal.conftest import PASSWORD, People


def post(
    url: str, size: int, headers: dict[str, str], *, chunked: bool = False
) -> tuple[int, bytes]:
    """Send zeros. The response may come before everything is sent."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    block = b"0" * 2**16
    connection.putrequest("POST", urlsplit(url).path)
    for name, value in headers.items():
        connection.putheader(name, value)
    (
        connection.putheader("Transfer-Encoding", "chunked")
        if chunked
        else connection.putheader("Content-Length", str(size))
    )
    connection.endheaders()
    try:
        for _ in range(size // len(block)):
            connection.send(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
        if chunked:
            connection.send(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        pass
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_stranger_cannot_fill_the_disk(
    portal_url: str, committed_people: People, *, chunked: bool
) -> None:
    try:
        status, body = post(
            f"{portal_url}/api/v1/apps/hello/builds", 8 * 2**20, {}, chunked=chunked
        )
    except ConnectionResetError:
        return  # it closed the connection before we could read the reason
    assert status == 413
    assert b"Sign in, or send a token" in body


def test_a_member_may_send_more_and_nothing_is_left_on_disk(
    portal_url: str, committed_people: People
) -> None:
    committed_people.app()
    token = committed_people.token(committed_people.owner)
    edge = "xxxxxxxx"
    content = b"1" * (8 * 2**20)
    head = (
        f'--{edge}\r\nContent-Disposition: form-data; name="archive";'
        ' filename="hello.zip"\r\nContent-Type: application/zip\r\n\r\n'
    )
    body = head.encode() + content + f"\r\n--{edge}--\r\n".encode()
    connection = http.client.HTTPConnection(urlsplit(portal_url).netloc, timeout=20)
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": f"multipart/form-data; boundary={edge}",
    }
    connection.request("POST", "/api/v1/apps/hello/builds", body, headers)
    assert connection.getresponse().status == 202
    source = Source.objects.get()
    assert (
        Path(portal_settings.SOURCES, source.digest).stat().st_size == source.size == len(content)
    )
    assert Build.objects.get().source == source
    deadline = time.monotonic() + 5
    while list(portal_settings.INCOMING.iterdir()):
        assert time.monotonic() < deadline, "an upload's first name goes when its request ends"
        time.sleep(0.02)


def test_a_declared_length_beyond_the_limit_is_refused_to_members_too(
    portal_url: str, committed_people: People
) -> None:
    token = committed_people.token(committed_people.owner)
    connection = http.client.HTTPConnection(urlsplit(portal_url).netloc, timeout=20)
    connection.putrequest("POST", "/api/v1/apps/hello/builds")
    connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Content-Length", str(2**40))
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_every_page_forbids_foreign_and_inline_code(db: None) -> None:
    answer = Client().get("/sign-in")
    assert answer["Content-Security-Policy"].startswith("default-src 'self';")
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_a_file_just_over_the_limit_is_refused_with_a_message_even_if_the_csrf_check_reads_the_form(
    people: People, settings: Settings
) -> None:
    settings.MAX_UPLOAD = 1000
    people.app()
    client = Client(
        enforce_csrf_checks=True, headers={"Authorization": f"Bearer {people.token(people.owner)}"}
    )
    answer = client.post(
        "/api/v1/apps/hello/builds", {"archive": SimpleUploadedFile("hello.zip", b"1" * 1001)}
    )
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("The archive hello.zip is too large.")
    client.force_login(people.owner)
    answer = client.post(
        "/apps/hello/deploy", {"archive": SimpleUploadedFile("hello.zip", b"1" * 1001)}
    )
    assert answer.status_code == 403, "the CSRF check has read the form, and found no token in it"
    client = Client()
    client.force_login(people.owner)
    answer = client.post(
        "/apps/hello/deploy", {"archive": SimpleUploadedFile("hello.zip", b"1" * 1001)}, follow=True
    )
    assert "is too large" in answer.content.decode()


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/apps",
        "/api/v1/apps/hello/builds",
        "/api/v1/apps/hello/config",
        "/new",
        "/apps/hello/deploy",
        "/theme",
    ],
)
def test_a_person_who_may_not_deploy_cannot_send_more_than_a_form(
    portal_url: str, committed_people: People, path: str
) -> None:
    committed_people.app()
    loner = create_person(committed_people.admin, username="loner", password=PASSWORD)
    headers = {"Authorization": f"Bearer {committed_people.token(loner)}"}
    for chunked in (False, True):
        try:
            status, body = post(f"{portal_url}{path}", 2 * 2**20, headers, chunked=chunked)
        except ConnectionResetError:
            continue  # it closed the connection before we could read the reason
        assert status == 413
        assert json.loads(body) == {
            "error": "The request is larger than 1 MiB.",
            "hint": "Only uploads to apps of your teams may be larger.",
        }


@pytest.mark.parametrize(
    "path", ["/api/v1/apps/hello/config", "/api/v1/apps", "/git/hello.git/git-upload-pack"]
)
def test_a_member_uploads_only_where_sources_are_accepted(
    portal_url: str, committed_people: People, path: str
) -> None:
    committed_people.app()
    token = committed_people.token(committed_people.owner)
    basic = base64.b64encode(f"any:{token}".encode()).decode()
    for authorization in (f"Bearer {token}", f"Basic {basic}"):
        connection = http.client.HTTPConnection(urlsplit(portal_url).netloc, timeout=20)
        connection.putrequest("POST", path)
        connection.putheader("Authorization", authorization)
        connection.putheader("Content-Length", str(2 * 2**20))
        connection.endheaders()
        assert connection.getresponse().status == 413, "before a byte is sent"


@pytest.mark.parametrize(
    ("path", "username", "status"),
    [
        ("/git/hello.git/git-receive-pack", "stranger", 413),  # an app of another team
        ("/git/blue/hello.git/git-receive-pack", "stranger", 413),
        ("/git/fresh.git/git-receive-pack", "loner", 413),  # in no team, so it creates no app
        ("/git/fresh.git/git-receive-pack", "stranger", 100),  # a first push
        ("/git/red/fresh.git/git-receive-pack", "stranger", 100),
    ],
)
def test_a_large_push_is_read_only_from_people_who_may_push_there(
    portal_url: str, committed_people: People, path: str, username: str, status: int
) -> None:
    committed_people.app()
    create_person(committed_people.admin, username="loner", password=PASSWORD)
    token = committed_people.token(Person.objects.get(username=username))
    basic = base64.b64encode(f"any:{token}".encode()).decode()
    address = urlsplit(portal_url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {basic}\r\n"
            f"Content-Length: {2 * 2**20}\r\nExpect: 100-continue\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(12).decode() == f"HTTP/1.1 {status}"


def test_a_stranger_cannot_send_more_than_a_small_form_and_a_browser_gets_a_page(
    portal_url: str, committed_people: People
) -> None:
    connection = http.client.HTTPConnection(urlsplit(portal_url).netloc, timeout=20)
    connection.putrequest("POST", "/sign-in")
    connection.putheader("Accept", "text/html")
    connection.putheader("Content-Length", "100000")
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Content-Type"]) == (413, "text/html; charset=utf-8")
    assert "The request is larger than 64 KiB." in answer.read().decode()


def test_the_number_of_open_bodies_per_sender_is_limited(
    portal_url: str, committed_people: People
) -> None:
    committed_people.app()
    token = committed_people.token(committed_people.owner)
    held = []
    for _ in range(70):
        connection = http.client.HTTPConnection(urlsplit(portal_url).netloc, timeout=20)
        connection.putrequest("POST", "/api/v1/apps")
        connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Content-Length", "1000")
        connection.endheaders()
        connection.send(b"{")
        held.append(connection)
    waiting, refused = {connection.sock: connection for connection in held}, []
    while len(refused) < 6:
        answered = select.select(list(waiting), [], [], 60)[0]
        assert answered, f"{len(refused)} were refused"
        refused += [waiting.pop(sock).getresponse().status for sock in answered]
    assert refused == [429] * 6
    assert select.select(list(waiting), [], [], 1)[0] == [], "64 are held"
    for connection in held:
        connection.close()
