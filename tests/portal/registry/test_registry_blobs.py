"""Tests of blobs in the registry over HTTP: uploads, downloads, wrong digests and other teams."""

import http.client
import os
import time
import uuid
from urllib.parse import urlsplit

import httpx

from portal.apps.models import App
from portal.registry import blob_store
from tests.portal.conftest import People
from tests.portal.images import Client, blocks, digest_of, manifest, refused
from tests.portal.registry.registry import (
    CONFIG,
    IMAGE,
    LAYER,
    UNKNOWN,
    app,
    clean_shelf,
    client,
    publish,
)

__all__ = ["app", "clean_shelf", "client"]


def test_a_blob_can_be_pushed_in_every_way(client: Client) -> None:
    for how in ("at once", "streamed", "chunks", "lost in the middle"):
        data = os.urandom(3 * 2**20 + 17)
        answer = send(client, data, how)
        assert answer.status_code == 201, f"{how}: {answer.text}"
        assert answer.headers["Location"] == f"/v2/blue/hello/blobs/{digest_of(data)}"
        assert client.get(f"blobs/{digest_of(data)}").content == data
        assert not list(blob_store.UPLOADS.iterdir())


def send(client: Client, data: bytes, how: str) -> httpx.Response:
    digest = digest_of(data)
    if how == "at once":
        answer = client.http.post(
            "/v2/blue/hello/blobs/uploads/", params={"digest": digest}, content=data
        )
    elif how == "streamed":
        location = client.begin()
        sent = client.http.patch(location, content=blocks(data, 2**17))
        assert (sent.status_code, sent.headers["Range"]) == (202, f"0-{len(data) - 1}")
        answer = client.http.put(sent.headers["Location"], params={"digest": digest})
    elif how == "chunks":
        location, at = client.begin(), 0
        for chunk in blocks(data, 2**20):
            sent = client.http.patch(
                location, content=chunk, headers={"Content-Range": f"{at}-{at + len(chunk) - 1}"}
            )
            at += len(chunk)
            assert (sent.status_code, sent.headers["Range"]) == (202, f"0-{at - 1}")
        late = client.http.patch(location, content=b"x", headers={"Content-Range": "5-5"})
        assert refused(late) == (416, "BLOB_UPLOAD_INVALID")
        assert late.headers["Range"] == f"0-{at - 1}"
        assert refused(
            client.http.patch(location, content=b"x", headers={"Content-Range": "1-x"})
        ) == (416, "BLOB_UPLOAD_INVALID")
        answer = client.http.put(location, params={"digest": digest})
    else:
        location = client.begin()
        lose_connection(client, location, data[: 2**20])
        deadline = time.monotonic() + 20
        while (response := client.http.get(location)).headers["Range"] != f"0-{2**20 - 1}":
            assert time.monotonic() < deadline, response.headers["Range"]
            time.sleep(0.05)
        assert response.status_code == 204
        answer = client.http.put(
            location,
            params={"digest": digest},
            content=data[2**20 :],
            headers={"Content-Range": f"{2**20}-{len(data) - 1}"},
        )
    return answer


def lose_connection(client: Client, location: str, data: bytes) -> None:
    """Announce more than is sent, and disconnect."""
    connection = http.client.HTTPConnection(urlsplit(str(client.http.base_url)).netloc, timeout=20)
    connection.putrequest("PATCH", location)
    connection.putheader(
        "Authorization",
        client.http.build_request("GET", "/").headers.get("Authorization") or authorization(client),
    )
    connection.putheader("Content-Length", str(10 * len(data)))
    connection.endheaders()
    connection.send(data)
    connection.close()


def authorization(client: Client) -> str:
    flow = client.http.auth.sync_auth_flow(client.http.build_request("GET", "/"))  # type: ignore[union-attr]
    return str(next(flow).headers["Authorization"])


def test_parts_of_a_blob_can_be_downloaded(client: Client) -> None:
    client.push(LAYER)
    path, size = f"blobs/{digest_of(LAYER)}", len(LAYER)
    for wanted, expected in (
        ("bytes=0-9", LAYER[:10]),
        (f"bytes={size - 5}-", LAYER[-5:]),
        ("bytes=-7", LAYER[-7:]),
        ("bytes=10-99999", LAYER[10:]),
    ):
        answer = client.get(path, Range=wanted)
        assert (answer.status_code, answer.content) == (206, expected)
        assert answer.headers["Content-Range"].endswith(f"/{size}")
    beyond = client.get(path, Range=f"bytes={size}-")
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{size}"
    assert client.get(path, Range="lines=1-2").status_code == 200
    looked = client.head(path)
    assert (
        looked.headers["Content-Length"],
        looked.headers["Docker-Content-Digest"],
        looked.content,
    ) == (str(size), digest_of(LAYER), b"")
    assert refused(client.get(f"blobs/{UNKNOWN}")) == (404, "BLOB_UNKNOWN")
    assert refused(client.get("blobs/sha256:short")) == (400, "DIGEST_INVALID")


def test_a_wrong_digest_is_refused_and_leaves_nothing(client: Client) -> None:
    location = client.begin()
    assert refused(client.http.put(location, params={"digest": UNKNOWN}, content=b"other")) == (
        400,
        "DIGEST_INVALID",
    )
    assert client.http.get(location).status_code == 404, "and the upload is over"
    for digest in ("", "sha512:" + "0" * 128, "md5:1"):
        assert refused(
            client.http.put(client.begin(), params={"digest": digest}, content=b"x")
        ) == (400, "DIGEST_INVALID")
    assert not list(blob_store.RECEIVED.iterdir())
    assert refused(client.put(UNKNOWN, IMAGE)) == (400, "DIGEST_INVALID")


def test_an_upload_can_be_cancelled_and_unknown_uploads_are_refused(client: Client) -> None:
    location = client.begin()
    assert client.http.delete(location).status_code == 204
    for name in (
        location,
        "/v2/blue/hello/blobs/uploads/..%2f..%2fx",
        f"/v2/blue/hello/blobs/uploads/{uuid.uuid4()}",
    ):
        for method in ("GET", "PATCH", "DELETE"):
            answer = client.http.request(method, name, content=b"x" if method == "PATCH" else None)
            assert answer.status_code == 404, (method, name)
    assert refused(client.http.patch(location, content=b"x")) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_a_repository_of_another_team_is_unknown(client: Client) -> None:
    for name in (
        "hello",
        "blue/hello/more",
        "red/hello",
        "blue/none",
        "..%2fblue/hello",
        "blue/hello%00",
        "BLUE/HELLO",
    ):
        for path in ("tags/list", "manifests/latest", f"blobs/{UNKNOWN}"):
            answer = client.http.get(f"/v2/{name}/{path}")
            assert refused(answer) == (404, "NAME_UNKNOWN"), answer.url
        assert client.http.post(f"/v2/{name}/blobs/uploads/").status_code == 404


def test_another_team_can_neither_read_nor_mount_a_blob_by_its_digest(
    client: Client, app: App, portal_url: str, committed_people: People
) -> None:
    client.push(LAYER, CONFIG)
    client.put("latest", IMAGE)
    publish(app, UNKNOWN, IMAGE, LAYER, CONFIG)
    from portal.lifecycle.app_actions import create_app

    create_app(committed_people.stranger, team=committed_people.red, name="theirs")
    stranger = Client(portal_url, "red/theirs", committed_people.token(committed_people.stranger))
    assert refused(stranger.get(f"blobs/{digest_of(LAYER)}")) == (404, "BLOB_UNKNOWN")
    assert refused(stranger.get(f"manifests/{digest_of(IMAGE)}")) == (404, "MANIFEST_UNKNOWN")
    mount = stranger.http.post(
        "/v2/red/theirs/blobs/uploads/", params={"mount": digest_of(LAYER), "from": "blue/hello"}
    )
    assert mount.status_code == 202, "to be uploaded like any other"
    assert refused(stranger.put("latest", IMAGE)) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert refused(
        Client(portal_url, "blue/hello", committed_people.token(committed_people.stranger)).get(
            "tags/list"
        )
    ) == (
        404,
        "NAME_UNKNOWN",
    )
    create_app(committed_people.owner, team=committed_people.blue, name="second")
    owner = Client(portal_url, "blue/second", committed_people.token(committed_people.owner))
    mounted = owner.http.post(
        "/v2/blue/second/blobs/uploads/", params={"mount": digest_of(LAYER), "from": "blue/hello"}
    )
    assert (mounted.status_code, mounted.headers["Location"]) == (
        201,
        f"/v2/blue/second/blobs/{digest_of(LAYER)}",
    )
    assert owner.put("latest", manifest(CONFIG, LAYER)).status_code == 201
