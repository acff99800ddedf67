"""Tests of transfers: to a real registry and to archives, and back, and the faults of a registry or
an archive.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runtime.config import NodeConfig
from runtime.errors import ImageDamaged, TransferFailed
from runtime.images.exchange.transfer import Access, Transfer
from runtime.images.layers.compression import Compression
from runtime.images.store import Store
from runtime.images.verify import verify
from tests.runtime.images.conftest import Yard

USER, PASSWORD = "owner", "correct horse"
# The password in the format of `htpasswd -B`.
CRYPTED = "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2"


@dataclass(frozen=True, slots=True)
class Registry:
    address: str
    access: Access


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Run Debian's docker-registry on loopback, with a password."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "htpasswd").write_text(f"{USER}:{CRYPTED}\n")
    with _running(
        folder, f"auth: {{htpasswd: {{realm: tests, path: {folder / 'htpasswd'}}}}}"
    ) as address:
        yield Registry(address, Access(user=USER, password=PASSWORD, plain_http=True))


@pytest.fixture(scope="module")
def open_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run another registry, without a password, and yield its address."""
    with _running(tmp_path_factory.mktemp("open-registry"), "") as address:
        yield address


@contextmanager
def _running(folder: Path, more: str) -> Iterator[str]:
    if shutil.which("docker-registry") is None:
        pytest.skip("the test registry is not installed: apt-get install docker-registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "config.yml").write_text(f"""
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder / "data"}}}}}
http: {{addr: "127.0.0.1:{port}"}}
{more}
""")
    server = subprocess.Popen(
        ["docker-registry", "serve", folder / "config.yml"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 20
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield f"127.0.0.1:{port}"
    server.terminate()
    server.wait()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Store:
    """Return the store of another machine."""
    return Store(NodeConfig(name="tother", state=tmp_path / "elsewhere"))


def config_of(store: Store) -> NodeConfig:
    return store._config


def texts(store: Store, digest: str) -> list[str]:
    return [(path / "app" / "text").read_text() for path in store.image(digest).layers]


@pytest.mark.parametrize("compression", [None, Compression.GZIP])
def test_an_image_goes_through_a_registry_to_another_store(
    yard: Yard, elsewhere: Store, registry: Registry, compression: Compression | None
) -> None:
    image = yard.image(yard.layer("base"), yard.layer("code"))
    name = f"docker://{registry.address}/team/app:{compression or 'zstd'}"
    Transfer(yard.config, yard.store).send(image, name, registry.access, compression=compression)
    came = Transfer(config_of(elsewhere), elsewhere).import_from(name, registry.access).digest
    assert (came == image) is (compression is None), "another compression gives another manifest"
    assert texts(elsewhere, came) == ["code", "base"]
    assert elsewhere.image(came).config == yard.store.image(image).config
    assert verify(config_of(elsewhere), elsewhere) == []
    assert not any((config_of(elsewhere).images / "ingest").iterdir())
    assert not any((yard.config.images / "ingest").iterdir())


def test_docker_manifest_and_gzip_are_sent_on_request(
    yard: Yard, elsewhere: Store, registry: Registry, tmp_path: Path
) -> None:
    image = yard.image(yard.layer("base"), yard.layer("code"))
    name = f"docker://{registry.address}/team/app:docker"
    Transfer(yard.config, yard.store).send(image, name, registry.access, docker=True)
    credentials = f"{USER}:{PASSWORD}"
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", "--creds", credentials, name],
        check=True,
        capture_output=True,
    ).stdout
    document = json.loads(raw)
    assert document["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert {layer["mediaType"] for layer in document["layers"]} == {
        "application/vnd.docker.image.rootfs.diff.tar.gzip"
    }
    came = Transfer(config_of(elsewhere), elsewhere).import_from(name, registry.access).digest
    assert texts(elsewhere, came) == ["code", "base"]


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_an_image_goes_through_an_archive_to_another_store(
    yard: Yard, elsewhere: Store, tmp_path: Path, kind: str
) -> None:
    image = yard.image(yard.layer("base"), yard.layer("code"))
    file = tmp_path / "image.tar"
    Transfer(yard.config, yard.store).send(
        image, f"{kind}:{file}:team/app:1", docker=kind == "docker-archive"
    )
    if kind == "docker-archive":
        with tarfile.open(file) as tar:
            (entry,) = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert entry["RepoTags"] == ["docker.io/team/app:1"]
    came = Transfer(config_of(elsewhere), elsewhere).import_from(f"{kind}:{file}").digest
    assert texts(elsewhere, came) == ["code", "base"]
    assert verify(config_of(elsewhere), elsewhere) == []


def test_a_wrong_password_and_a_missing_tag_are_reported_with_a_remedy(
    yard: Yard, registry: Registry
) -> None:
    transfer = Transfer(yard.config, yard.store)
    wrong = Access(user=USER, password="wrong", plain_http=True)
    with pytest.raises(TransferFailed, match="could not be transferred") as refused:
        transfer.import_from(f"docker://{registry.address}/team/app:1", wrong)
    assert "Check user name and password" in refused.value.hint
    assert "wrong" not in str(refused.value)
    with pytest.raises(TransferFailed) as missing:
        transfer.import_from(f"docker://{registry.address}/team/none:1", registry.access)
    assert missing.value.hint == "Check the name and the tag."
    assert not any((yard.config.images / "ingest").iterdir()), "no credentials remain"


def test_credentials_are_on_no_command_line(yard: Yard, registry: Registry) -> None:
    image = yard.image(yard.layer("secret"))
    seen: list[bytes] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = path.read_bytes()
                except OSError:
                    continue
                if b"skopeo" in words:
                    seen.append(words)

    thread = threading.Thread(target=watch)
    thread.start()
    Transfer(yard.config, yard.store).send(
        image, f"docker://{registry.address}/team/app:secret", registry.access
    )
    over.set()
    thread.join()
    assert seen
    assert not [
        words
        for words in seen
        if PASSWORD.encode() in words or base64.b64encode(f"{USER}:{PASSWORD}".encode()) in words
    ]


def a_layout(folder: Path, *, harm: str = "") -> Path:
    """Write an image as another tool packs it, with one fault."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        header = tarfile.TarInfo("app/text" if harm != "climb" else "../text")
        header.size = 5
        tar.addfile(header, io.BytesIO(b"hello"))
    plain, blobs = buffer.getvalue(), folder / "blobs" / "sha256"
    packed = gzip.compress(plain, mtime=0)
    blobs.mkdir(parents=True)

    def put(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    diff_id = f"sha256:{hashlib.sha256(plain if harm != 'diff ID' else b'other').hexdigest()}"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = put(
        json.dumps(
            {
                "architecture": "s390x" if harm == "machine" else machine,
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [diff_id] * (2 if harm == "count" else 1)},
            }
        ).encode()
    )
    layer = put(packed)
    if harm == "content":
        (blobs / str(layer["digest"]).removeprefix("sha256:")).write_bytes(packed[:-1] + b"x")
    if harm == "half":
        (blobs / str(layer["digest"]).removeprefix("sha256:")).write_bytes(packed[:20])
    if harm == "size":
        layer["size"] = int(str(layer["size"])) + 1
    manifest = put(
        json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **config},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **layer}],
            }
        ).encode()
    )
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    pointer = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        **manifest,
        "annotations": {"org.opencontainers.image.ref.name": "image"},
    }
    (folder / "index.json").write_text(
        json.dumps({"schemaVersion": 2, "manifests": [pointer] if harm != "nothing" else []})
    )
    return folder


@pytest.mark.parametrize(
    "harm", ["diff ID", "content", "half", "size", "count", "climb", "machine", "nothing"]
)
def test_an_inconsistent_image_is_refused_and_not_listed(
    yard: Yard, tmp_path: Path, harm: str
) -> None:
    layout = a_layout(tmp_path / "stranger", harm=harm)
    with pytest.raises((ImageDamaged, TransferFailed)) as refused:
        Transfer(yard.config, yard.store).import_from(f"oci:{layout}:image")
    assert refused.value.hint
    with pytest.raises(ImageDamaged) as again:  # skopeo does not detect all of these faults
        Transfer(yard.config, yard.store)._adopt(layout)
    assert again.value.hint
    assert yard.store.index.read() == ({}, [])
    assert not (tmp_path / "text").exists()
    assert not (yard.config.layers / "text").exists()


def test_an_intact_image_of_another_tool_is_imported(yard: Yard, tmp_path: Path) -> None:
    digest = (
        Transfer(yard.config, yard.store)
        .import_from(f"oci:{a_layout(tmp_path / 'stranger')}:image")
        .digest
    )
    assert texts(yard.store, digest) == ["hello"]
    assert yard.store.image(digest).config.user == "0:0"


@pytest.fixture
def bad_registry() -> Iterator[Callable[[int], str]]:
    """Run servers that answer every request with one status, or, for 0, with nothing."""
    over = threading.Event()
    servers: list[ThreadingHTTPServer] = []

    def start(status: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if status == 0:
                    over.wait(30)
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_HEAD = do_GET  # noqa: N815 - the standard library's names

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"docker://127.0.0.1:{server.server_address[1]}/team/app:1"

    yield start
    over.set()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("status", [401, 500, 0])
def test_a_failing_registry_ends_the_transfer_with_a_reason(
    yard: Yard, bad_registry: Callable[[int], str], status: int
) -> None:
    started = time.monotonic()
    with pytest.raises(TransferFailed) as failed:
        Transfer(yard.config, yard.store, time_limit=3).import_from(
            bad_registry(status), Access(plain_http=True)
        )
    assert failed.value.hint
    assert time.monotonic() - started < 20
    assert not any((yard.config.images / "ingest").iterdir())
    assert verify(yard.config, yard.store) == []
