"""The distribution API over HTTP: every endpoint, and errors of clients (distribution-spec
v1.1)."""

import http.client
import json
import os
import time
import uuid
from urllib.parse import urlsplit

import httpx

from portal.apps.models import App
from portal.builds.models import Build, BuildState, Origin, SourceKind
from portal.registry import blob_store, upkeep
from portal.registry.models import Attachment, Tag
from tests.portal.conftest import People
from tests.portal.images import INDEX, MANIFEST, Client, blocks, config, digest_of, index, manifest, part, refused
from tests.portal.registry.registry import CONFIG, IMAGE, LAYER, UNKNOWN, app, clean_shelf, client
from tests.portal.shipyard import deploy

__all__ = ["app", "clean_shelf", "client"]


def publish(app: App, image: str, manifest: bytes, *blobs: bytes) -> None:
    """Publish the image of a release like the node."""
    folder = blob_store.SERVED / str(app.pk) / image.removeprefix("sha256:")
    folder.mkdir(parents=True)
    for data in (manifest, *blobs):
        (folder / digest_of(data).removeprefix("sha256:")).write_bytes(data)
    (folder / "manifest").symlink_to(digest_of(manifest).removeprefix("sha256:"))


def test_a_client_without_a_token_is_asked_to_sign_in_and_sees_nothing(portal_url: str, app: App, committed_people: People) -> None:
    stranger = Client(portal_url, "blue/hello")
    for answer in (
        stranger.http.get("/v2/"),
        stranger.get("tags/list"),
        stranger.http.post("/v2/blue/hello/blobs/uploads/"),
        stranger.put("latest", IMAGE),
    ):
        assert refused(answer) == (401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert refused(Client(portal_url, "blue/hello", "slip_wrong").get("tags/list")) == (401, "UNAUTHORIZED")
    member = Client(portal_url, "blue/hello", committed_people.token(committed_people.owner))
    answer = member.http.get("/v2/")
    assert (answer.status_code, answer.headers["Docker-Distribution-Api-Version"]) == (200, "registry/2.0")


def test_a_push_deploys_and_can_be_pulled_immediately(client: Client, app: App, committed_people: People) -> None:
    client.push(LAYER, CONFIG)
    answer = client.put("1.0", IMAGE)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Docker-Content-Digest"] == digest_of(IMAGE)
    assert answer.headers["Location"] == f"/v2/blue/hello/manifests/{digest_of(IMAGE)}"
    build = Build.objects.get()
    assert (build.state, build.origin, build.created_by, build.description) == (
        BuildState.QUEUED,
        Origin.PUSH,
        committed_people.owner,
        "image 1.0",
    )
    source = build.source
    assert (source.kind, source.filename, source.size) == (SourceKind.PUSHED, "blue/hello:1.0", len(LAYER))
    assert f"sha256:{source.digest}" == digest_of(IMAGE)
    assert client.put("1.0", IMAGE).status_code == 201
    assert Build.objects.count() == 1, "a client that lost the answer asks again and deploys once"
    for reference in ("1.0", digest_of(IMAGE)):
        pulled = client.get(f"manifests/{reference}")
        assert pulled.content == IMAGE
        assert (pulled.headers["Content-Type"], pulled.headers["Docker-Content-Digest"]) == (MANIFEST, digest_of(IMAGE))
        looked = client.head(f"manifests/{reference}")
        assert (looked.status_code, looked.content, looked.headers["Content-Length"]) == (200, b"", str(len(IMAGE)))
    assert client.get(f"blobs/{digest_of(LAYER)}").content == LAYER


def test_releases_are_pulled_by_number_in_the_form_they_were_pushed(client: Client, app: App) -> None:
    client.push(LAYER, CONFIG)
    client.put("1.0", IMAGE)
    ours = UNKNOWN
    deploy(Build.objects.get(), image=ours)
    assert refused(client.get("manifests/v1")) == (404, "MANIFEST_UNKNOWN"), "the node has not published it yet"
    publish(app, ours, IMAGE, LAYER, CONFIG)
    blob_store.settle(app, digest_of(IMAGE))
    assert not list(blob_store.RECEIVED.iterdir()), "nothing is there twice"
    for reference in ("v1", "1.0"):
        assert client.get(f"manifests/{reference}").content == IMAGE
    assert client.get(f"blobs/{digest_of(LAYER)}").content == LAYER
    assert client.get("tags/list").json() == {"name": "blue/hello", "tags": ["1.0", "v1"]}
    assert refused(client.get("manifests/v2")) == (404, "MANIFEST_UNKNOWN")


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
        answer = client.http.post("/v2/blue/hello/blobs/uploads/", params={"digest": digest}, content=data)
    elif how == "streamed":
        location = client.begin()
        sent = client.http.patch(location, content=blocks(data, 2**17))
        assert (sent.status_code, sent.headers["Range"]) == (202, f"0-{len(data) - 1}")
        answer = client.http.put(sent.headers["Location"], params={"digest": digest})
    elif how == "chunks":
        location, at = client.begin(), 0
        for chunk in blocks(data, 2**20):
            sent = client.http.patch(location, content=chunk, headers={"Content-Range": f"{at}-{at + len(chunk) - 1}"})
            at += len(chunk)
            assert (sent.status_code, sent.headers["Range"]) == (202, f"0-{at - 1}")
        late = client.http.patch(location, content=b"x", headers={"Content-Range": "5-5"})
        assert refused(late) == (416, "BLOB_UPLOAD_INVALID")
        assert late.headers["Range"] == f"0-{at - 1}"
        assert refused(client.http.patch(location, content=b"x", headers={"Content-Range": "1-x"})) == (416, "BLOB_UPLOAD_INVALID")
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
            location, params={"digest": digest}, content=data[2**20 :], headers={"Content-Range": f"{2**20}-{len(data) - 1}"}
        )
    return answer


def lose_connection(client: Client, location: str, data: bytes) -> None:
    """Announce more than is sent, and disconnect."""
    connection = http.client.HTTPConnection(urlsplit(str(client.http.base_url)).netloc, timeout=20)
    connection.putrequest("PATCH", location)
    connection.putheader("Authorization", client.http.build_request("GET", "/").headers.get("Authorization") or authorization(client))
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
    assert (looked.headers["Content-Length"], looked.headers["Docker-Content-Digest"], looked.content) == (str(size), digest_of(LAYER), b"")
    assert refused(client.get(f"blobs/{UNKNOWN}")) == (404, "BLOB_UNKNOWN")
    assert refused(client.get("blobs/sha256:short")) == (400, "DIGEST_INVALID")
    assert refused(client.http.delete(f"{client.root}/{path}")) == (405, "UNSUPPORTED")


def test_a_wrong_digest_is_refused_and_leaves_nothing(client: Client) -> None:
    location = client.begin()
    assert refused(client.http.put(location, params={"digest": UNKNOWN}, content=b"other")) == (400, "DIGEST_INVALID")
    assert client.http.get(location).status_code == 404, "and the upload is over"
    for digest in ("", "sha512:" + "0" * 128, "md5:1"):
        assert refused(client.http.put(client.begin(), params={"digest": digest}, content=b"x")) == (400, "DIGEST_INVALID")
    assert not list(blob_store.RECEIVED.iterdir())
    assert refused(client.put(UNKNOWN, IMAGE)) == (400, "DIGEST_INVALID")


def test_an_upload_can_be_cancelled_and_unknown_uploads_are_refused(client: Client) -> None:
    location = client.begin()
    assert client.http.delete(location).status_code == 204
    for name in (location, "/v2/blue/hello/blobs/uploads/..%2f..%2fx", f"/v2/blue/hello/blobs/uploads/{uuid.uuid4()}"):
        for method in ("GET", "PATCH", "DELETE"):
            answer = client.http.request(method, name, content=b"x" if method == "PATCH" else None)
            assert answer.status_code == 404, (method, name)
    assert refused(client.http.patch(location, content=b"x")) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_a_repository_of_another_team_is_unknown(client: Client) -> None:
    for name in ("hello", "blue/hello/more", "red/hello", "blue/none", "..%2fblue/hello", "blue/hello%00", "BLUE/HELLO"):
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
    mount = stranger.http.post("/v2/red/theirs/blobs/uploads/", params={"mount": digest_of(LAYER), "from": "blue/hello"})
    assert mount.status_code == 202, "to be uploaded like any other"
    assert refused(stranger.put("latest", IMAGE)) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert refused(Client(portal_url, "blue/hello", committed_people.token(committed_people.stranger)).get("tags/list")) == (
        404,
        "NAME_UNKNOWN",
    )
    create_app(committed_people.owner, team=committed_people.blue, name="second")
    owner = Client(portal_url, "blue/second", committed_people.token(committed_people.owner))
    mounted = owner.http.post("/v2/blue/second/blobs/uploads/", params={"mount": digest_of(LAYER), "from": "blue/hello"})
    assert (mounted.status_code, mounted.headers["Location"]) == (201, f"/v2/blue/second/blobs/{digest_of(LAYER)}")
    assert owner.put("latest", manifest(CONFIG, LAYER)).status_code == 201


def test_tags_are_listed_page_by_page(client: Client, app: App) -> None:
    client.push(LAYER, CONFIG)
    client.put("b", IMAGE)
    Tag.objects.bulk_create(Tag(app=app, name=name, digest=digest_of(IMAGE).removeprefix("sha256:")) for name in ("a", "c", "d"))
    Tag.objects.create(app=app, name="gone", digest="0" * 64)
    first = client.get("tags/list?n=3")
    assert first.json()["tags"] == ["a", "b", "c"]
    assert first.headers["Link"] == '</v2/blue/hello/tags/list?n=3&last=c>; rel="next"'
    following = client.http.get(first.headers["Link"].partition(">")[0].removeprefix("<"))
    assert following.json()["tags"] == ["d"]
    assert "Link" not in following.headers
    assert client.get("tags/list?n=0").json()["tags"] == []


def test_reserved_names_are_refused(client: Client) -> None:
    client.push(LAYER, CONFIG)
    answer = client.put("v7", IMAGE)
    assert refused(answer) == (403, "DENIED")
    assert "Use another tag" in answer.text
    assert refused(client.put("-x", IMAGE)) == (400, "MANIFEST_INVALID")
    assert refused(client.put("x" * 129, IMAGE)) == (400, "MANIFEST_INVALID")
    assert not Build.objects.exists()


OTHER = manifest(config("s390x"), LAYER)
BAD: dict[str, tuple[bytes, tuple[int, str]]] = {
    "no JSON": (b"{", (400, "MANIFEST_INVALID")),
    "no object": (b"[]", (400, "MANIFEST_INVALID")),
    "too deep": (b"[" * 200_000, (400, "MANIFEST_INVALID")),
    "version 1": (b'{"schemaVersion": 1}', (400, "MANIFEST_INVALID")),
    "another kind": (json.dumps({"schemaVersion": 2, "mediaType": "text/plain"}).encode(), (400, "MANIFEST_INVALID")),
    "a size that lies": (IMAGE.replace(str(len(LAYER)).encode(), b"1"), (400, "MANIFEST_INVALID")),
    "a size below nothing": (IMAGE.replace(f" {len(LAYER)}".encode(), b" -1"), (400, "MANIFEST_INVALID")),
    "a digest that is none": (IMAGE.replace(digest_of(LAYER).encode(), b"sha256:../../x"), (400, "DIGEST_INVALID")),
    "a blob that never came": (manifest(CONFIG, b"never"), (400, "MANIFEST_BLOB_UNKNOWN")),
    "another machine": (OTHER, (400, "MANIFEST_INVALID")),
    "too many layers": (manifest(CONFIG, *[LAYER] * 121), (400, "MANIFEST_INVALID")),
    "too large": (IMAGE + b" " * (4 * 2**20), (413, "SIZE_INVALID")),
}


def test_a_wrong_manifest_is_refused_with_its_code_and_deploys_nothing(client: Client) -> None:
    client.push(LAYER, CONFIG, config("s390x"))
    for what, (data, expected) in BAD.items():
        assert refused(client.put("latest", data)) == expected, what
    assert not Build.objects.exists()
    assert not Tag.objects.exists()


def test_the_image_of_an_index_for_this_machine_is_deployed(client: Client) -> None:
    client.push(LAYER, CONFIG, config("s390x"))
    both = index((OTHER, "s390x"), (IMAGE, json.loads(CONFIG)["architecture"]))
    assert refused(client.put("latest", both, INDEX)) == (400, "MANIFEST_BLOB_UNKNOWN"), "its manifests come first"
    for data in (OTHER, IMAGE):
        assert client.put(digest_of(data), data).status_code == 201
    assert not Build.objects.exists(), "by digest nothing is deployed"
    assert client.put("latest", both, INDEX).status_code == 201
    assert f"sha256:{Build.objects.get().source.digest}" == digest_of(IMAGE)
    foreign = index((OTHER, "s390x"))
    answer = client.put("other", foreign, INDEX)
    assert refused(answer) == (400, "MANIFEST_INVALID")
    assert "linux/s390x" in answer.text


def test_signatures_are_attached_listed_and_deleted(client: Client, app: App) -> None:
    client.push(LAYER, CONFIG, b"signature", b"{}")
    client.put("latest", IMAGE)
    empty = "application/vnd.oci.empty.v1+json"
    signature = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/x-signature",
            "config": part(b"{}", empty),
            "layers": [part(b"signature", "application/x-signature")],
            "subject": part(IMAGE, MANIFEST),
            "annotations": {"by": "owner"},
        }
    ).encode()
    answer = client.put(digest_of(signature), signature)
    assert (answer.status_code, answer.headers["OCI-Subject"]) == (201, digest_of(IMAGE))
    assert Build.objects.count() == 1
    listed = client.get(f"referrers/{digest_of(IMAGE)}")
    assert listed.headers["Content-Type"] == INDEX
    (entry,) = listed.json()["manifests"]
    assert entry == part(signature, MANIFEST, artifactType="application/x-signature", annotations={"by": "owner"})
    filtered = client.get(f"referrers/{digest_of(IMAGE)}?artifactType=application/x-other")
    assert (filtered.json()["manifests"], filtered.headers["OCI-Filters-Applied"]) == ([], "artifactType")
    assert client.get(f"referrers/{UNKNOWN}").json()["manifests"] == []
    assert refused(client.get("referrers/x")) == (400, "DIGEST_INVALID")
    Build.objects.update(state=BuildState.FAILED)
    assert upkeep.sweep(received_kept=-1) == 3, "the image's manifest, configuration and layer; attachments stay"
    assert client.get(f"manifests/{digest_of(signature)}").content == signature
    assert client.http.delete(f"{client.root}/manifests/{digest_of(signature)}").status_code == 202
    assert not Attachment.objects.exists()
    assert refused(client.http.delete(f"{client.root}/manifests/{digest_of(IMAGE)}")) == (405, "UNSUPPORTED")
    assert refused(client.http.delete(f"{client.root}/manifests/latest")) == (405, "UNSUPPORTED")
