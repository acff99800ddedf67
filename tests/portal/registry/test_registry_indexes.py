"""Tests of indexes and manifests that name many parts: a push of a few kilobytes must not occupy
the portal for long, or fill its database.
"""

from __future__ import annotations

import json
import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from portal.accounts.models import Person
from portal.apps.models import App
from portal.errors import RegistryRefused
from portal.registry import aliases, blob_store, manifests
from portal.registry.actions import MOST_NAMED, put_manifest
from portal.registry.models import Attachment
from tests.portal.conftest import People
from tests.portal.images import INDEX, MANIFEST, digest_of, index, part
from tests.portal.registry.registry import CONFIG, app, clean_shelf

__all__ = ["app", "clean_shelf"]
PARTS = 121  # of a manifest of the tests, with its configuration
pytestmark = pytest.mark.timeout(120)
FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


def with_absent_layers(number: int, algorithm: str = "sha256") -> bytes:
    """Return a manifest with 120 layers that nobody has to push."""
    digits = {"sha256": 64, "sha512": 128}[algorithm]
    digests = (f"{algorithm}:{number:08x}{layer:0{digits - 8}x}" for layer in range(120))
    layers = [{"mediaType": FOREIGN, "digest": digest, "size": 1} for digest in digests]
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": part(CONFIG), "layers": layers}
    return json.dumps(document).encode()


def receive(app: App, *blobs: bytes) -> None:
    """Store blobs and manifests as pushes by digest do."""
    for blob in (CONFIG, *blobs):
        hexadecimal = digest_of(blob).removeprefix("sha256:")
        blob_store.received(app.team_id, hexadecimal).write_bytes(blob)


def listing(*documents: bytes, kind: str = MANIFEST, **more: object) -> bytes:
    return index(raw=[part(document, kind) for document in documents], **more)


@pytest.fixture
def owner(committed_people: People) -> Person:
    return committed_people.owner


def put(owner: Person, app: App, document: bytes, reference: str = "latest") -> None:
    put_manifest(owner, app=app, reference=reference, data=document, content_type=INDEX)


def test_nested_indexes_that_list_each_other_many_times_are_read_once(
    owner: Person, app: App
) -> None:
    leaf = with_absent_layers(1)[:-1] + b', "artifactType": "a/b"}'
    receive(app, leaf)
    document = listing(leaf)
    for _ in range(4):
        receive(app, document)
        document = listing(*[document] * 200, kind=INDEX)
    began = time.process_time()
    put(owner, app, document)
    assert time.process_time() - began < 5


def test_an_index_with_too_many_parts_is_refused(owner: Person, app: App) -> None:
    documents = [with_absent_layers(number) for number in range(MOST_NAMED // PARTS + 10)]
    receive(app, *documents)
    with pytest.raises(RegistryRefused, match="have more than 50,000 parts") as refusal:
        put(owner, app, listing(*documents))
    assert refusal.value.status == 400
    assert not Attachment.objects.exists()
    put(owner, app, listing(*documents[:20]))


def test_the_parts_of_all_indexes_of_an_app_are_limited(owner: Person, app: App) -> None:
    document = with_absent_layers(1)
    receive(app, document)
    blobs = ["0" * 64] * (MOST_NAMED - 2 * PARTS)
    Attachment.objects.create(app=app, digest="0" * 64, media_type=INDEX, size=1, blobs=blobs)
    first, second = (listing(document, annotations={"number": str(at)}) for at in range(2))
    put(owner, app, first)
    with pytest.raises(RegistryRefused, match=r"name 49,\d+ parts, and the maximum is 50,000"):
        put(owner, app, second)
    put(owner, app, first)
    Attachment.objects.get(digest="0" * 64).delete()
    put(owner, app, second)


def test_digests_of_a_manifest_are_looked_up_at_once(app: App) -> None:
    document = manifests.parse(with_absent_layers(1, "sha512"))
    with CaptureQueriesContext(connection) as queries:
        assert aliases.resolved(app.team_id, document) == document
    assert len(queries) == 1
