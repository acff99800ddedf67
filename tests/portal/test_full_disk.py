"""A full disk: the API reports it in JSON, pages report it in words, and nothing is answered with a
server error."""

import errno
from collections.abc import Iterator

import httpx
import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.test import Client

from portal.quotas.models import Quota
from portal.server.middleware import refused_by_full_disk
from tests.portal.conftest import People, listening_portal


@pytest.fixture
def full_database(people: People) -> Iterator[People]:
    """Limit the pages of SQLite and fill them, which causes the same error as a full disk."""
    Quota.objects.filter(team=people.blue).update(apps=10_000)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        pages = cursor.fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count = {pages}")
    yield people
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA max_page_count = 1073741823")


def until_full(client: Client, path: str, body: dict[str, str], **headers: str) -> object:
    for number in range(2000):
        answer = client.post(
            path,
            {**body, "name": f"app-{number}"},
            content_type="application/json",
            headers=headers,
        )
        if answer.status_code != 201:
            return answer
    pytest.fail("the database never became full")


def test_the_api_reports_a_full_database_in_json(full_database: People) -> None:
    client = Client(
        raise_request_exception=False,
        headers={"Authorization": f"Bearer {full_database.token(full_database.owner)}"},
    )
    answer = until_full(client, "/api/v1/apps", {"team": "blue"})
    assert (answer.status_code, answer["Content-Type"]) == (507, "application/json")
    assert answer.json()["error"] == "The disk of this Slipway is full. Nothing was changed."
    assert "Running apps are not affected" in answer.json()["hint"]


def test_a_page_reports_a_full_database(full_database: People) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(full_database.owner)
    for number in range(2000):
        answer = client.post("/new", {"name": f"app-{number}", "team": "blue"})
        if answer.status_code != 302:
            break
    assert answer.status_code == 507
    assert "The disk of this Slipway is full. Nothing was changed." in answer.content.decode()


@pytest.fixture(scope="module")
def portal_with_small_disk(redis_server: str, django_db_setup: None) -> Iterator[str]:
    """Run a portal with a disk of one megabyte for uploads, in its own mount namespace that ends
    with it."""
    settings.INCOMING.mkdir(parents=True, exist_ok=True)
    script = f'mount -t tmpfs -o size=1m none {settings.INCOMING} && exec "$@"'
    with listening_portal(
        "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"
    ) as url:
        yield url


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("application/json", "application/json"), ("text/html", "text/html; charset=utf-8")],
)
def test_an_upload_to_a_full_disk_is_refused_with_a_message(
    portal_with_small_disk: str, committed_people: People, accept: str, kind: str
) -> None:
    committed_people.app()
    headers = {
        "Authorization": f"Bearer {committed_people.token(committed_people.owner)}",
        "Accept": accept,
    }
    path = "/api/v1/apps/hello/builds" if accept == "application/json" else "/apps/hello/deploy"
    with httpx.Client(base_url=portal_with_small_disk, headers=headers, timeout=20) as client:
        for _ in range(3):
            answer = client.post(
                path, files={"archive": ("hello.zip", b"1" * (8 * 2**20), "application/zip")}
            )
            assert (answer.status_code, answer.headers["Content-Type"]) == (507, kind)
            assert "The disk of this Slipway is full." in answer.text
        assert client.get("/api/v1/teams").status_code == 200, "and what came is gone"


def test_an_unexpected_error_of_the_api_is_json_too(people: People) -> None:
    client = Client(headers={"Authorization": f"Bearer {people.token(people.owner)}"})
    missing = client.get("/api/v1/nowhere")
    assert (missing.status_code, missing["Content-Type"]) == (404, "application/json")
    assert missing.json()["error"] == "/api/v1/nowhere is not a URL of the API."


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError(errno.EIO, "Input/output error"), False),
        (OperationalError("database or disk is full"), True),
        (OperationalError("database is locked"), False),
        (ImproperlyConfigured("anything"), False),
        (None, False),
    ],
)
def test_a_full_disk_is_distinguished_from_other_errors(
    error: Exception | None, *, is_full: bool
) -> None:
    assert (refused_by_full_disk(error) is not None) == is_full


def test_a_full_disk_is_detected_behind_other_errors() -> None:
    outer = RuntimeError("could not write")
    outer.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert refused_by_full_disk(outer) is not None
