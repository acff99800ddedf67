"""Deletion in the registry, and what a team may keep there: indexes, many attestations."""

from __future__ import annotations

import json

from portal.apps.models import App
from portal.builds.models import Build, BuildState
from portal.registry import blob_store, upkeep
from portal.registry.models import Attachment, Tag
from tests.portal.conftest import People
from tests.portal.images import INDEX, MANIFEST, Client, digest_of, index, manifest, part, refused
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


def deleted(client: Client, path: str) -> int:
    return client.http.delete(f"{client.root}/{path}").status_code


def test_a_deleted_manifest_is_gone_at_once_with_its_tags(client: Client) -> None:
    client.push(LAYER, CONFIG)
    client.put("latest", IMAGE)
    path = f"manifests/{digest_of(IMAGE)}"
    assert refused(client.http.delete(f"{client.root}/{path}")) == (405, "UNSUPPORTED")
    Build.objects.update(state=BuildState.FAILED)
    assert deleted(client, path) == 202
    for gone in (path, "manifests/latest"):
        assert refused(client.get(gone)) == (404, "MANIFEST_UNKNOWN")
    assert client.get("tags/list").json()["tags"] == []
    assert deleted(client, path) == 404
    assert deleted(client, f"manifests/{UNKNOWN}") == 404


def test_a_deleted_tag_leaves_the_manifest(client: Client) -> None:
    client.push(LAYER, CONFIG)
    client.put("latest", IMAGE)
    assert deleted(client, "manifests/latest") == 202
    assert refused(client.get("manifests/latest")) == (404, "MANIFEST_UNKNOWN")
    assert client.get(f"manifests/{digest_of(IMAGE)}").content == IMAGE
    assert deleted(client, "manifests/latest") == 404
    assert deleted(client, "manifests/v1") == 405


def test_a_blob_is_deleted_unless_a_manifest_needs_it(client: Client) -> None:
    client.push(LAYER, CONFIG, b"alone")
    client.put("latest", IMAGE)
    assert deleted(client, f"blobs/{digest_of(b'alone')}") == 202
    assert refused(client.get(f"blobs/{digest_of(b'alone')}")) == (404, "BLOB_UNKNOWN")
    for needed in (LAYER, IMAGE):
        assert deleted(client, f"blobs/{digest_of(needed)}") == 405
    Build.objects.update(state=BuildState.FAILED)
    assert deleted(client, f"blobs/{digest_of(LAYER)}") == 405
    deleted(client, f"manifests/{digest_of(IMAGE)}")
    assert deleted(client, f"blobs/{digest_of(LAYER)}") == 202
    assert deleted(client, f"blobs/{UNKNOWN}") == 404


def test_the_image_of_a_release_cannot_be_deleted(client: Client, app: App) -> None:
    client.push(LAYER, CONFIG)
    publish(app, digest_of(IMAGE), IMAGE, CONFIG, LAYER)
    for path in (f"manifests/{digest_of(IMAGE)}", f"blobs/{digest_of(LAYER)}"):
        assert refused(client.http.delete(f"{client.root}/{path}")) == (405, "UNSUPPORTED")
        assert client.get(path).status_code == 200


def test_another_team_can_delete_nothing(
    client: Client, portal_url: str, committed_people: People
) -> None:
    client.push(LAYER, CONFIG)
    client.put(digest_of(IMAGE), IMAGE)
    other = Client(portal_url, "blue/hello", committed_people.token(committed_people.stranger))
    for path in (f"manifests/{digest_of(IMAGE)}", f"blobs/{digest_of(LAYER)}", "manifests/latest"):
        assert deleted(other, path) == 404
    assert client.get(f"manifests/{digest_of(IMAGE)}").status_code == 200


def test_any_number_of_attestations_is_kept_and_goes_with_its_manifest(client: Client) -> None:
    client.push(CONFIG, *(json.dumps({"n": number}).encode() for number in range(230)))
    made = [
        manifest(CONFIG, layers=[part(json.dumps({"n": number}).encode(), "application/x")])
        for number in range(230)
    ]
    for data in made:
        assert client.put(digest_of(data), data).status_code == 201
    assert Attachment.objects.count() == 230
    assert deleted(client, f"manifests/{digest_of(made[0])}") == 202
    assert upkeep.sweep(received_kept=-1) == 1, "the part that only the deleted one had"


def test_an_index_is_kept_with_the_images_of_other_machines(client: Client, app: App) -> None:
    machine = json.loads(CONFIG)["architecture"]
    other_config = CONFIG.replace(machine.encode(), b"s390x")
    other = manifest(other_config, LAYER)
    both = index((other, "s390x"), (IMAGE, machine))
    nested = index(raw=[part(both, INDEX)])
    client.push(LAYER, CONFIG, other_config)
    for data in (other, IMAGE):
        client.put(digest_of(data), data)
    assert client.put(digest_of(both), both, INDEX).status_code == 201
    assert client.put("latest", nested, INDEX).status_code == 201
    assert f"sha256:{Build.objects.get().source.digest}" == digest_of(IMAGE)
    Build.objects.update(state=BuildState.SUCCEEDED)
    publish(app, digest_of(IMAGE), IMAGE, CONFIG, LAYER)
    blob_store.settle(app, digest_of(IMAGE))
    assert upkeep.sweep(received_kept=-1) == 0
    assert upkeep.forget_unreachable_tags() == 0
    for reference, data in (
        ("latest", nested),
        (digest_of(both), both),
        (digest_of(other), other),
        (digest_of(IMAGE), IMAGE),
    ):
        assert client.get(f"manifests/{reference}").content == data
    assert deleted(client, "manifests/latest") == 202


def test_indexes_without_an_image_are_kept_and_deploy_nothing(client: Client) -> None:
    client.push(b"{}")
    artifact = manifest(b"{}", artifactType="application/x-list")
    client.put(digest_of(artifact), artifact)
    for tag, data in {
        "empty": index(),
        "artifacts": index(raw=[part(artifact, MANIFEST)]),
        "list": index(artifactType="application/x-index"),
    }.items():
        assert client.put(tag, data, INDEX).status_code == 201, tag
        assert client.get(f"manifests/{tag}").content == data
    assert not Build.objects.exists()
    assert Tag.objects.count() == 3


def test_an_entry_without_a_platform_is_deployed_if_its_configuration_fits(client: Client) -> None:
    client.push(LAYER, CONFIG)
    client.put(digest_of(IMAGE), IMAGE)
    client.put("latest", index(raw=[part(IMAGE, MANIFEST)]), INDEX)
    assert f"sha256:{Build.objects.get().source.digest}" == digest_of(IMAGE)


def test_the_catalog_lists_what_the_person_may_pull(
    client: Client, portal_url: str, committed_people: People
) -> None:
    committed_people.app("second")
    names = client.http.get("/v2/_catalog").json()["repositories"]
    assert names == ["blue/hello", "blue/second"]
    page = client.http.get("/v2/_catalog?n=1")
    assert page.json()["repositories"] == ["blue/hello"]
    assert page.headers["Link"] == '</v2/_catalog?n=1&last=blue/hello>; rel="next"'
    other = Client(portal_url, "blue/hello", committed_people.token(committed_people.stranger))
    assert other.http.get("/v2/_catalog").json()["repositories"] == []
    assert Client(portal_url, "blue/hello").http.get("/v2/_catalog").status_code == 401


def test_a_client_that_has_the_content_gets_304(client: Client) -> None:
    client.push(LAYER, CONFIG)
    client.put(digest_of(IMAGE), IMAGE)
    for path in (f"manifests/{digest_of(IMAGE)}", f"blobs/{digest_of(LAYER)}"):
        tag = client.get(path).headers["ETag"]
        answer = client.get(path, If_None_Match=f'W/"x", {tag}')
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
        assert client.get(path, If_None_Match='"other"').status_code == 200
