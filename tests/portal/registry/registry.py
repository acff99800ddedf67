"""Fixtures for tests of the registry: a client, an image to push and a published image."""

from collections.abc import Iterator

import pytest

from portal.apps.models import App
from portal.registry import blob_store
from tests.portal.conftest import People
from tests.portal.images import Client, config, digest_of, manifest

UNKNOWN = "sha256:" + "0" * 64
LAYER, CONFIG = b"a layer" * 1000, config()
IMAGE = manifest(CONFIG, LAYER)


@pytest.fixture
def app(committed_people: People) -> App:
    return committed_people.app()


@pytest.fixture
def client(portal_url: str, committed_people: People, app: App) -> Client:
    return Client(portal_url, "blue/hello", committed_people.token(committed_people.owner))


@pytest.fixture(autouse=True)
def clean_shelf() -> Iterator[None]:
    yield
    for folder in (blob_store.UPLOADS, blob_store.RECEIVED):
        for path in folder.iterdir():
            path.unlink()


def publish(app: App, image: str, manifest: bytes, *blobs: bytes) -> None:
    """Publish the image of a release like the node."""
    folder = blob_store.SERVED / str(app.pk) / image.removeprefix("sha256:")
    folder.mkdir(parents=True)
    for data in (manifest, *blobs):
        (folder / digest_of(data).removeprefix("sha256:")).write_bytes(data)
    (folder / "manifest").symlink_to(digest_of(manifest).removeprefix("sha256:"))
