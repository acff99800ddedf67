"""Images as a registry client has them, and a registry client."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def part(data: bytes, kind: str = LAYER, **more: Any) -> dict[str, Any]:
    return {"mediaType": kind, "digest": digest_of(data), "size": len(data), **more}


def config(architecture: str = MACHINE, **more: Any) -> bytes:
    return json.dumps(
        {"architecture": architecture, "os": "linux", "config": {"Cmd": ["/run"]}, **more}
    ).encode()


def manifest(configuration: bytes, *layers: bytes, **more: Any) -> bytes:
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": part(configuration, CONFIG),
        "layers": [part(layer) for layer in layers],
    }
    return json.dumps({**document, **more}).encode()


def index(*manifests: tuple[bytes, str], raw: Sequence[dict[str, Any]] = (), **more: Any) -> bytes:
    """Return an index of manifests with their architecture, and of `raw` entries."""
    entries = [
        part(data, MANIFEST, platform={"os": "linux", "architecture": architecture})
        for data, architecture in manifests
    ] + list(raw)
    return json.dumps(
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, **more}
    ).encode()


class Client:
    """A client of one repository with one person's token."""

    def __init__(self, portal: str, repository: str, token: str = "") -> None:
        auth = ("anybody", token) if token else None
        self.http = httpx.Client(base_url=portal, auth=auth, timeout=60)
        self.root = f"/v2/{repository}"

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(
            f"{self.root}/{path}",
            headers={name.replace("_", "-"): text for name, text in headers.items()},
        )

    def head(self, path: str) -> httpx.Response:
        return self.http.head(f"{self.root}/{path}")

    def begin(self) -> str:
        answer = self.http.post(f"{self.root}/blobs/uploads/")
        assert answer.status_code == 202, answer.text
        assert answer.headers["Range"] == "0-0"
        return str(answer.headers["Location"])

    def push(self, *blobs: bytes) -> None:
        for data in blobs:
            answer = self.http.put(self.begin(), params={"digest": digest_of(data)}, content=data)
            assert answer.status_code == 201, answer.text
            assert answer.headers["Docker-Content-Digest"] == digest_of(data)

    def put(self, reference: str, data: bytes, kind: str = MANIFEST) -> httpx.Response:
        return self.http.put(
            f"{self.root}/manifests/{reference}", content=data, headers={"Content-Type": kind}
        )


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and code of an error response in the form of the distribution
    specification."""
    (error,) = answer.json()["errors"]
    assert error["message"]
    return answer.status_code, str(error["code"])
