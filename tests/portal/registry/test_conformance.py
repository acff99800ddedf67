"""Conformance to the OCI distribution specification 1.1.0, endpoint by endpoint (end-1 to end-13).

Each test names the section of spec.md whose sentences it checks, over HTTP against the portal.
"""

import hashlib
import json
import os

import httpx
import pytest

from portal.apps.models import App
from portal.builds.models import Build
from portal.lifecycle.app_actions import create_app
from portal.registry import blob_store, upkeep
from portal.registry.models import Alias, Attachment
from tests.portal.conftest import People
from tests.portal.images import (
    CONFIG as CONFIG_TYPE,
)
from tests.portal.images import (
    INDEX,
    MANIFEST,
    Client,
    digest_of,
    index,
    part,
    refused,
)
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

UPLOADS = "/v2/blue/hello/blobs/uploads/"
EMPTY = "application/vnd.oci.empty.v1+json"
FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
DIGESTS = {"sha256": digest_of, "sha512": lambda data: f"sha512:{hashlib.sha512(data).hexdigest()}"}
sha512_of = DIGESTS["sha512"]


def artifact(subject: dict[str, object] | None, kind: str = "application/x-note") -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": kind,
        "config": part(b"{}", EMPTY),
        "layers": [part(b"{}", EMPTY)],
    }
    return json.dumps(document | ({"subject": subject} if subject else {})).encode()


def by_sha512(layer: bytes, configuration: bytes) -> bytes:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": part(configuration, CONFIG_TYPE) | {"digest": sha512_of(configuration)},
            "layers": [part(layer) | {"digest": sha512_of(layer)}],
        }
    ).encode()


def test_end_1_the_version_is_answered_after_the_sign_in(client: Client, portal_url: str) -> None:
    """ "Determining Support": 200, or 401 without credentials."""
    assert client.http.get("/v2/").status_code == 200
    assert refused(httpx.get(f"{portal_url}/v2/")) == (401, "UNAUTHORIZED")


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_end_2_blobs_are_pulled_by_either_digest(client: Client, algorithm: str) -> None:
    """ "Pulling blobs": the body, the digest of the request, 404 for unknown ones; ranges."""
    data, digest = os.urandom(4096), DIGESTS[algorithm]
    pushed = client.http.put(client.begin(), params={"digest": digest(data)}, content=data)
    assert (pushed.status_code, pushed.headers["Docker-Content-Digest"]) == (201, digest(data))
    assert pushed.headers["Location"] == f"/v2/blue/hello/blobs/{digest(data)}"
    pulled = client.http.get(pushed.headers["Location"])
    assert (pulled.status_code, pulled.content) == (200, data)
    assert pulled.headers["Docker-Content-Digest"] == digest(data)
    looked = client.head(f"blobs/{digest(data)}")
    assert (looked.status_code, looked.content) == (200, b"")
    assert looked.headers["Content-Length"] == str(len(data))
    ranged = client.get(f"blobs/{digest(data)}", Range="bytes=100-199")
    assert (ranged.status_code, ranged.content) == (206, data[100:200])
    assert ranged.headers["Content-Range"] == "bytes 100-199/4096"
    beyond = client.get(f"blobs/{digest(data)}", Range="bytes=4096-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */4096")
    other = digest(b"other")
    assert refused(client.get(f"blobs/{other}")) == (404, "BLOB_UNKNOWN")
    assert client.head(f"blobs/{other}").status_code == 404


def test_end_2_an_empty_blob_is_a_blob(client: Client) -> None:
    client.push(b"")
    pulled = client.get(f"blobs/{digest_of(b'')}")
    assert (pulled.status_code, pulled.content) == (200, b"")


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_end_3_manifests_are_pulled_by_tag_and_digest(client: Client, algorithm: str) -> None:
    """ "Pulling manifests": the bytes as pushed, their media type, and their digest."""
    client.push(LAYER, CONFIG)
    digest = DIGESTS[algorithm](IMAGE)
    put = client.put(digest, IMAGE)
    assert (put.status_code, put.headers["Docker-Content-Digest"]) == (201, digest)
    assert put.headers["Location"] == f"/v2/blue/hello/manifests/{digest}"
    client.put("latest", IMAGE)
    for reference, named in ((digest, digest), ("latest", digest_of(IMAGE))):
        for answer in (client.get(f"manifests/{reference}"), client.head(f"manifests/{reference}")):
            assert answer.status_code == 200
            assert answer.headers["Content-Type"] == MANIFEST
            assert answer.headers["Docker-Content-Digest"] == named
            assert answer.headers["Content-Length"] == str(len(IMAGE))
    assert client.get(f"manifests/{digest}").content == IMAGE
    for unknown in ("none", UNKNOWN, sha512_of(b"none")):
        assert refused(client.get(f"manifests/{unknown}")) == (404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_end_4b_one_post_pushes_a_blob(client: Client, algorithm: str) -> None:
    """ "Single POST": 201 and a Location to pull from."""
    digest = DIGESTS[algorithm](b"monolithic")
    answer = client.http.post(UPLOADS, params={"digest": digest}, content=b"monolithic")
    assert answer.status_code == 201
    assert client.http.get(answer.headers["Location"]).content == b"monolithic"


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_end_4a_5_6_13_chunks_are_pushed_in_order(client: Client, algorithm: str) -> None:
    """ "Pushing a blob in chunks": 202 with Location and Range, 416 out of order, a last chunk in
    the PUT, and the progress of the upload."""
    data = os.urandom(3000)
    location = client.begin()
    for start in (0, 1000):
        chunk = data[start : start + 1000]
        headers = {"Content-Range": f"{start}-{start + 999}"}
        answer = client.http.patch(location, content=chunk, headers=headers)
        assert (answer.status_code, answer.headers["Range"]) == (202, f"0-{start + 999}")
        location = answer.headers["Location"]
    early = client.http.patch(location, content=b"x" * 10, headers={"Content-Range": "2500-2509"})
    assert early.status_code == 416
    progress = client.http.get(location)
    assert (progress.status_code, progress.headers["Range"]) == (204, "0-1999")
    assert progress.headers["Location"] == location
    digest = DIGESTS[algorithm](data)
    wrong = client.http.put(
        location,
        params={"digest": digest},
        content=data[2000:],
        headers={"Content-Range": "1000-1999"},
    )
    assert wrong.status_code == 416, "and the upload goes on"
    answer = client.http.put(
        location,
        params={"digest": digest},
        content=data[2000:],
        headers={"Content-Range": "2000-2999"},
    )
    assert (answer.status_code, client.http.get(answer.headers["Location"]).content) == (201, data)


def test_end_6_a_wrong_or_unknown_digest_is_refused(client: Client) -> None:
    """ "Pushing blobs": the digest must match the content."""
    for digest in (UNKNOWN, sha512_of(b"other"), "sha512:" + "0" * 64, "sha384:" + "0" * 96, ""):
        answer = client.http.put(client.begin(), params={"digest": digest}, content=b"x")
        assert refused(answer) == (400, "DIGEST_INVALID"), digest
    assert not Alias.objects.exists()


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_end_7_manifests_are_refused_with_the_codes_of_the_table(
    client: Client, algorithm: str
) -> None:
    """ "Pushing Manifests" and "Error Codes"."""
    client.push(LAYER, CONFIG)
    digest = DIGESTS[algorithm]
    assert refused(client.put(digest(b"other"), IMAGE)) == (400, "DIGEST_INVALID")
    lacking = IMAGE.replace(digest_of(LAYER).encode(), digest(b"lacking").encode())
    assert refused(client.put("x", lacking)) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert refused(client.put("x", b"{")) == (400, "MANIFEST_INVALID")
    assert refused(client.put("x" * 129, IMAGE)) == (400, "MANIFEST_INVALID")
    assert refused(client.put("x", IMAGE + b" " * 2**22)) == (413, "SIZE_INVALID")
    assert not Build.objects.exists()


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_end_7_and_12_a_subject_is_confirmed_and_lists_its_referrers(
    client: Client, algorithm: str
) -> None:
    """ "Pushing Manifests with Subject" and "Listing Referrers": OCI-Subject with the digest that
    the manifest gives, also before the subject exists; an index; filters."""
    client.push(LAYER, CONFIG, b"{}")
    digest = DIGESTS[algorithm](IMAGE)
    empty = client.get(f"referrers/{digest}")
    assert (empty.status_code, empty.json()["manifests"]) == (200, [])
    subject = part(IMAGE, MANIFEST) | {"digest": digest}
    notes = [artifact(subject, kind) for kind in ("application/x-note", "application/x-sum")]
    for note in notes:
        answer = client.put(digest_of(note), note)
        assert (answer.status_code, answer.headers["OCI-Subject"]) == (201, digest)
    assert client.put(digest, IMAGE).status_code == 201
    for name in {digest, digest_of(IMAGE)}:
        listed = client.get(f"referrers/{name}")
        assert listed.headers["Content-Type"] == INDEX
        assert [entry["digest"] for entry in listed.json()["manifests"]] == [
            digest_of(note) for note in notes
        ]
        assert "OCI-Filters-Applied" not in listed.headers
    filtered = client.get(f"referrers/{digest}?artifactType=application/x-sum")
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
    assert [entry["artifactType"] for entry in filtered.json()["manifests"]] == [
        "application/x-sum"
    ]
    assert refused(client.get("referrers/sha512:0")) == (400, "DIGEST_INVALID")


def test_end_12_an_index_without_an_artifact_type_is_listed_without_one(client: Client) -> None:
    """ "Listing Referrers": artifactType is set only if the index has it."""
    client.push(LAYER, CONFIG)
    client.put(digest_of(IMAGE), IMAGE)
    listing = index(subject=part(IMAGE, MANIFEST))
    client.put(digest_of(listing), listing, INDEX)
    (entry,) = client.get(f"referrers/{digest_of(IMAGE)}").json()["manifests"]
    assert entry == part(listing, INDEX)


def test_end_8_tags_are_listed_in_order_and_in_pages(client: Client) -> None:
    """ "Listing Tags": lexical order, `n` and `last`, and a Link to the next page."""
    client.push(LAYER, CONFIG)
    for tag in ("b", "a", "c"):
        client.put(tag, IMAGE)
    assert client.get("tags/list").json() == {"name": "blue/hello", "tags": ["a", "b", "c"]}
    page = client.get("tags/list?n=2")
    assert page.json()["tags"] == ["a", "b"]
    assert page.headers["Link"] == '</v2/blue/hello/tags/list?n=2&last=b>; rel="next"'
    assert client.get("tags/list?n=2&last=b").json()["tags"] == ["c"]
    assert client.get("tags/list?n=0").json()["tags"] == []
    assert refused(client.http.get("/v2/blue/none/tags/list")) == (404, "NAME_UNKNOWN")


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_end_9_and_10_what_is_deleted_is_unknown_afterwards(client: Client, algorithm: str) -> None:
    """ "Content Management": 202, then 404 for tag, manifest and blob."""
    client.push(LAYER, CONFIG, b"{}")
    note = artifact(None)
    digest = DIGESTS[algorithm](note)
    client.put(digest, note)
    client.put("note", note)
    assert client.http.delete(f"{client.root}/manifests/note").status_code == 202
    assert client.get("manifests/note").status_code == 404
    assert client.get(f"manifests/{digest}").status_code == 200
    for _ in range(2):
        last = client.http.delete(f"{client.root}/manifests/{digest}")
        assert client.get(f"manifests/{digest}").status_code == 404
    assert refused(last) == (404, "MANIFEST_UNKNOWN")
    blob = DIGESTS[algorithm](b"blob")
    client.http.post(UPLOADS, params={"digest": blob}, content=b"blob")
    assert client.http.delete(f"{client.root}/blobs/{blob}").status_code == 202
    assert client.get(f"blobs/{blob}").status_code == 404
    assert refused(client.http.delete(f"{client.root}/blobs/{blob}")) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("algorithm", DIGESTS)
def test_end_11_a_blob_is_mounted_from_another_repository(
    client: Client, portal_url: str, committed_people: People, algorithm: str
) -> None:
    """ "Mounting a blob from another repository": 201 if it is there, else 202 for an upload."""
    digest = DIGESTS[algorithm](b"shared")
    client.http.post(UPLOADS, params={"digest": digest}, content=b"shared")
    create_app(committed_people.owner, team=committed_people.blue, name="second")
    uploads = "/v2/blue/second/blobs/uploads/"
    for asked in ({"mount": digest, "from": "blue/hello"}, {"mount": digest}):
        mounted = client.http.post(uploads, params=asked)
        assert (mounted.status_code, mounted.headers["Location"]) == (
            201,
            f"/v2/blue/second/blobs/{digest}",
        )
    absent = DIGESTS[algorithm](b"absent")
    asked = {"mount": absent, "from": "blue/hello"}
    assert client.http.post(uploads, params=asked).status_code == 202
    create_app(committed_people.stranger, team=committed_people.red, name="theirs")
    stranger = Client(portal_url, "red/theirs", committed_people.token(committed_people.stranger))
    assert refused(stranger.get(f"blobs/{digest}")) == (404, "BLOB_UNKNOWN")


def test_an_image_by_sha512_is_given_back_as_pushed_and_deployed_by_sha256(
    client: Client, app: App
) -> None:
    """ "Digests": SHA-512 in descriptors; nodes get a copy of the manifest with SHA-256."""
    image = by_sha512(LAYER, CONFIG)
    for data in (LAYER, CONFIG):
        client.http.post(UPLOADS, params={"digest": sha512_of(data)}, content=data)
    assert client.put("latest", image).status_code == 201
    deployed = Build.objects.get().source.digest
    document = json.loads(blob_store.received(app.team_id, deployed).read_bytes())
    assert document["layers"] == [part(LAYER)]
    assert document["config"] == part(CONFIG, CONFIG_TYPE)
    pulled = client.get("manifests/latest")
    assert (pulled.content, pulled.headers["Docker-Content-Digest"]) == (image, digest_of(image))
    Build.objects.update(state="failed")
    upkeep.sweep(received_kept=-1)
    upkeep.forget_unreachable_tags()
    assert client.get("manifests/latest").content == image, "kept as long as its tag"
    assert client.get(f"blobs/{sha512_of(LAYER)}").content == LAYER
    released = blob_store.keep(app.team_id, json.dumps(document).encode())
    publish(app, UNKNOWN, json.dumps(document).encode(), LAYER, CONFIG)
    blob_store.settle(app, f"sha256:{released}")
    assert not blob_store.received(app.team_id, released).exists()
    assert not blob_store.received(app.team_id, digest_of(LAYER)[7:]).exists(), "not kept twice"
    assert client.get(f"blobs/{sha512_of(LAYER)}").content == LAYER
    client.http.delete(f"{client.root}/manifests/{sha512_of(image)}")
    assert client.get("manifests/latest").status_code == 200, "it was not pushed by SHA-512"
    client.http.delete(f"{client.root}/manifests/latest")
    Attachment.objects.update(created_at="2000-01-01T00:00Z")
    upkeep.forget_unreachable_tags()
    assert not Attachment.objects.exists()


def test_an_index_may_name_its_manifests_by_sha512(client: Client) -> None:
    for data in (LAYER, CONFIG):
        client.http.post(UPLOADS, params={"digest": sha512_of(data)}, content=data)
    image = by_sha512(LAYER, CONFIG)
    assert client.put(sha512_of(image), image).status_code == 201
    listing = index(raw=[part(image, MANIFEST) | {"digest": sha512_of(image)}])
    assert client.put("latest", listing, INDEX).status_code == 201
    assert Build.objects.count() == 1
    assert client.get("manifests/latest").content == listing


def test_sha512_digests_are_forgotten_with_their_blobs(client: Client) -> None:
    for data in (b"kept", b"gone"):
        client.http.post(UPLOADS, params={"digest": sha512_of(data)}, content=data)
    client.http.delete(f"{client.root}/blobs/{sha512_of(b'gone')}")
    assert upkeep.forget_unused_aliases() == 0, "an upload may have just begun to use it"
    Alias.objects.update(updated_at="2000-01-01T00:00Z")
    assert upkeep.forget_unused_aliases() == 1
    assert client.get(f"blobs/{sha512_of(b'kept')}").content == b"kept"


def test_a_layer_that_is_not_distributable_need_not_be_pushed(client: Client, app: App) -> None:
    """image-spec, layer.md, "Non-Distributable Layers": the manifest is accepted, with `urls`."""
    client.push(CONFIG, LAYER)
    urls = ["https://example.com/layer.tar.gz"]
    image = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": part(CONFIG, CONFIG_TYPE),
            "layers": [part(b"elsewhere", FOREIGN, urls=urls), part(LAYER)],
        }
    ).encode()
    assert client.put("latest", image).status_code == 201
    assert Build.objects.count() == 1
    Build.objects.update(state="failed")
    upkeep.sweep(received_kept=-1)
    upkeep.forget_unreachable_tags()
    pulled = client.get("manifests/latest")
    assert (pulled.content, pulled.json()["layers"][0]["urls"]) == (image, urls)
    assert client.get(f"blobs/{digest_of(LAYER)}").content == LAYER
