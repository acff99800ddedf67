"""Tests of the distribution API over HTTP: images, tags, manifests and errors of clients
(distribution-spec v1.1). Blobs are in test_registry_blobs.py."""

import json

from portal.apps.models import App
from portal.builds.models import Build, BuildState, Origin, SourceKind
from portal.registry import blob_store, upkeep
from portal.registry.models import Attachment, Tag
from tests.portal.conftest import People
from tests.portal.images import (
    INDEX,
    MANIFEST,
    Client,
    config,
    digest_of,
    index,
    manifest,
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
from tests.portal.shipyard import deploy

__all__ = ["app", "clean_shelf", "client"]


def test_a_client_without_a_token_is_asked_to_sign_in_and_sees_nothing(
    portal_url: str, app: App, committed_people: People
) -> None:
    stranger = Client(portal_url, "blue/hello")
    for answer in (
        stranger.http.get("/v2/"),
        stranger.get("tags/list"),
        stranger.http.post("/v2/blue/hello/blobs/uploads/"),
        stranger.put("latest", IMAGE),
    ):
        assert refused(answer) == (401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert refused(Client(portal_url, "blue/hello", "slip_wrong").get("tags/list")) == (
        401,
        "UNAUTHORIZED",
    )
    member = Client(portal_url, "blue/hello", committed_people.token(committed_people.owner))
    answer = member.http.get("/v2/")
    assert (answer.status_code, answer.headers["Docker-Distribution-Api-Version"]) == (
        200,
        "registry/2.0",
    )


def test_a_push_deploys_and_can_be_pulled_immediately(
    client: Client, app: App, committed_people: People
) -> None:
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
    assert (source.kind, source.filename, source.size) == (
        SourceKind.PUSHED,
        "blue/hello:1.0",
        len(LAYER),
    )
    assert f"sha256:{source.digest}" == digest_of(IMAGE)
    assert client.put("1.0", IMAGE).status_code == 201
    assert Build.objects.count() == 1, "a client that lost the answer asks again and deploys once"
    for reference in ("1.0", digest_of(IMAGE)):
        pulled = client.get(f"manifests/{reference}")
        assert pulled.content == IMAGE
        assert (pulled.headers["Content-Type"], pulled.headers["Docker-Content-Digest"]) == (
            MANIFEST,
            digest_of(IMAGE),
        )
        looked = client.head(f"manifests/{reference}")
        assert (looked.status_code, looked.content, looked.headers["Content-Length"]) == (
            200,
            b"",
            str(len(IMAGE)),
        )
    assert client.get(f"blobs/{digest_of(LAYER)}").content == LAYER


def test_releases_are_pulled_by_number_in_the_form_they_were_pushed(
    client: Client, app: App
) -> None:
    client.push(LAYER, CONFIG)
    client.put("1.0", IMAGE)
    ours = UNKNOWN
    deploy(Build.objects.get(), image=ours)
    assert refused(client.get("manifests/v1")) == (
        404,
        "MANIFEST_UNKNOWN",
    ), "the node has not published it yet"
    publish(app, ours, IMAGE, LAYER, CONFIG)
    blob_store.settle(app, digest_of(IMAGE))
    assert not list(blob_store.RECEIVED.iterdir()), "nothing is there twice"
    for reference in ("v1", "1.0"):
        assert client.get(f"manifests/{reference}").content == IMAGE
    assert client.get(f"blobs/{digest_of(LAYER)}").content == LAYER
    assert client.get("tags/list").json() == {"name": "blue/hello", "tags": ["1.0", "v1"]}
    assert refused(client.get("manifests/v2")) == (404, "MANIFEST_UNKNOWN")


def test_tags_are_listed_page_by_page(client: Client, app: App) -> None:
    client.push(LAYER, CONFIG)
    client.put("b", IMAGE)
    Tag.objects.bulk_create(
        Tag(app=app, name=name, digest=digest_of(IMAGE).removeprefix("sha256:"))
        for name in ("a", "c", "d")
    )
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
    "another kind": (
        json.dumps({"schemaVersion": 2, "mediaType": "text/plain"}).encode(),
        (400, "MANIFEST_INVALID"),
    ),
    "a size that lies": (IMAGE.replace(str(len(LAYER)).encode(), b"1"), (400, "MANIFEST_INVALID")),
    "a size below nothing": (
        IMAGE.replace(f" {len(LAYER)}".encode(), b" -1"),
        (400, "MANIFEST_INVALID"),
    ),
    "a digest that is none": (
        IMAGE.replace(digest_of(LAYER).encode(), b"sha256:../../x"),
        (400, "DIGEST_INVALID"),
    ),
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
    assert refused(client.put("latest", both, INDEX)) == (
        400,
        "MANIFEST_BLOB_UNKNOWN",
    ), "its manifests come first"
    for data in (OTHER, IMAGE):
        assert client.put(digest_of(data), data).status_code == 201
    assert not Build.objects.exists(), "by digest nothing is deployed"
    assert client.put("latest", both, INDEX).status_code == 201
    assert f"sha256:{Build.objects.get().source.digest}" == digest_of(IMAGE)
    answer = client.get("manifests/latest")
    assert (answer.content, answer.headers["Content-Type"]) == (both, INDEX)
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
    assert entry == part(
        signature, MANIFEST, artifactType="application/x-signature", annotations={"by": "owner"}
    )
    filtered = client.get(f"referrers/{digest_of(IMAGE)}?artifactType=application/x-other")
    assert (filtered.json()["manifests"], filtered.headers["OCI-Filters-Applied"]) == (
        [],
        "artifactType",
    )
    assert client.get(f"referrers/{UNKNOWN}").json()["manifests"] == []
    assert refused(client.get("referrers/x")) == (400, "DIGEST_INVALID")
    Build.objects.update(state=BuildState.FAILED)
    assert upkeep.sweep(received_kept=-1) == 3, (
        "the image's manifest, configuration and layer; attachments stay"
    )
    assert client.get(f"manifests/{digest_of(signature)}").content == signature
    assert client.http.delete(f"{client.root}/manifests/{digest_of(signature)}").status_code == 202
    assert not Attachment.objects.exists()
    assert refused(client.get(f"manifests/{digest_of(signature)}")) == (404, "MANIFEST_UNKNOWN")
